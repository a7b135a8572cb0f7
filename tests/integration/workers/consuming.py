"""Run a consumer, on intake or on any processor, and look at its queues."""

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from messaging import topology
from messaging.clock import SystemClock
from messaging.consuming import Consumer, TimeLimits, Verdict
from messaging.process import ServiceManager
from workers.intake import Intake

PATIENCE_SECONDS = 20.0


@dataclass
class Recorder:
    """A processor that keeps what it is given and does as the test says."""

    deliveries: list = field(default_factory=list)
    batches: list = field(default_factory=list)
    on_batch: object = None
    is_at_fault: bool = True

    def process(self, batch):
        records = [each for each in batch if each.queue == topology.DEAD_LETTER_RECORDS]
        if records:
            return rejecting(records)
        self.deliveries += [each for each in batch if each not in self.deliveries]
        self.batches.append(list(batch))
        verdict = self.on_batch(batch) if self.on_batch else None
        return verdict or Verdict()

    def expect(self, batch):
        pass

    def abandon(self):
        return self.is_at_fault

    def bodies(self):
        return [each.envelope.body for each in self.deliveries]


@contextmanager
def running(url, processor, *, first=(), **changes):
    options = {
        "batch_events": 10,
        "batch_seconds": 0.02,
        "limits": TimeLimits(60.0, 60.0),
        "stop_seconds": 5.0,
    }
    consumer = Consumer(
        (*first, url), processor, client_name="test", service_manager=ServiceManager(), **options | changes
    )
    thread = threading.Thread(target=consumer.run)
    thread.start()
    try:
        yield consumer
    finally:
        consumer.stop()
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()


def processor(engine, handlers):
    """Return what processes deliveries to the end, without the pauses; it returns the tags to dead-letter."""
    worker = Intake(engine, handlers, SystemClock())

    def process(*deliveries):
        verdict = worker.process(deliveries)
        rejected = set(verdict.rejected)
        for each in deliveries:
            if each.tag in verdict.put_off:
                rejected |= process(replace(each, tries=each.tries + 1))
        return rejected

    return process


def depth(channel, queue=topology.EVENTS_QUEUE):
    return channel.queue_declare(queue, passive=True).method.message_count


def wait_until(condition):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def rejecting(deliveries):
    return Verdict(frozenset(each.tag for each in deliveries))
