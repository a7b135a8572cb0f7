"""Run a consumer with intake or another processor, publish events, and read queue depths."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import pika

from messaging import topology
from messaging.clock import SystemClock
from messaging.consuming import Consumer, Settlement
from messaging.process import ServiceManager
from workers.db.engine import make_engine
from workers.intake import Intake

PATIENCE_SECONDS = 20.0


@dataclass
class Recorder:
    """A processor that records its deliveries and settles them as the test specifies."""

    deliveries: list = field(default_factory=list)
    batches: list = field(default_factory=list)
    on_batch: object = None

    def process(self, batch):
        records = [each for each in batch if each.queue == topology.DEAD_LETTER_RECORDS]
        events = [each for each in batch if each not in records]
        if not events:
            return rejecting(records)
        self.deliveries += [each for each in events if each not in self.deliveries]
        self.batches.append(events)
        settlement = (self.on_batch(events) if self.on_batch else None) or Settlement()
        return replace(settlement, rejected=settlement.rejected | rejecting(records).rejected)

    def prefetch(self, batch):
        pass

    def bodies(self):
        return [each.envelope.body for each in self.deliveries]


@contextmanager
def running(url, processor, *, first=(), **changes):
    options = {
        "batch_events": 10,
        "batch_seconds": 0.02,
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
    """Return a function that processes deliveries, with all retries, and returns the rejected tags."""
    worker = Intake(engine, handlers, SystemClock())

    def process(*deliveries):
        settlement = worker.process(deliveries)
        rejected = set(settlement.rejected)
        for delivery in deliveries:
            if delivery.tag in settlement.retries:
                rejected |= process(replace(delivery, local_attempts=delivery.local_attempts + 1))
        return rejected

    return process


def work_at_once(url, handlers, orders, work):
    """Start a worker for each of *orders* at once; each worker calls *work* with a processor and an order."""
    barrier = threading.Barrier(len(orders))

    def run(order):
        engine = make_engine(url)
        intake = processor(engine, handlers)
        barrier.wait()
        work(intake, order)
        engine.dispose()

    with ThreadPoolExecutor(len(orders)) as pool:
        for worker in [pool.submit(run, order) for order in orders]:
            worker.result(timeout=60)


def publish(channel, content, **properties):
    """Publish a payload or raw bytes as the edge does."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    properties = pika.BasicProperties(delivery_mode=2, **properties)
    channel.basic_publish(topology.EXCHANGE, topology.EVENT_ROUTING_KEY, body, properties)


def depth(channel, queue=topology.EVENTS_QUEUE):
    """Return how many messages wait in the queue.

    If a quorum queue's leader does not answer the broker within 250 ms, a declare reports 0 messages and 0
    consumers. So the queue is declared up to five times before that answer counts.
    """
    for _ in range(5):
        declared = channel.queue_declare(queue, passive=True).method
        if declared.message_count or declared.consumer_count:
            break
        time.sleep(0.02)
    return declared.message_count


def rejecting(deliveries):
    return Settlement(frozenset(each.tag for each in deliveries))
