"""Each batch is reported once, whenever the one before it was taken from its thread."""

import queue
import threading
import time
from types import SimpleNamespace

import pytest

from messaging.consuming import Delivery, TimeLimits, Verdict
from messaging.consuming.processing import Processing
from messaging.envelope import WEBHOOK, Envelope

PATIENCE_SECONDS = 5.0


def delivery(tag):
    return Delivery(tag, "events", 1, Envelope(f"message-{tag}", 1, "request", WEBHOOK, b"{}"))


class ComesBackWhileAbandoned:
    """Has a batch hang until it is abandoned; `abandon` returns when its thread can get no further."""

    def __init__(self):
        self.is_abandoned = threading.Event()
        self.next_is_begun = threading.Event()
        self.begun = threading.Event()
        self.thread = None

    def process(self, batch):
        if batch[0].tag == 1 and not batch[0].hangs:
            self.thread = threading.current_thread()
            self.begun.set()
            assert self.is_abandoned.wait(PATIENCE_SECONDS)
        elif threading.current_thread() is self.thread:
            self.next_is_begun.set()
        return Verdict()

    def expect(self, batch):
        pass

    def abandon(self):
        self.is_abandoned.set()
        _wait_until(lambda: self.next_is_begun.is_set() or not self.thread.is_alive())
        return True


@pytest.fixture
def reports():
    """What threads have called on the loop."""
    return queue.Queue()


def test_a_batch_that_comes_back_while_it_is_taken_away_does_not_take_the_next_along(reports):
    processor, settled = ComesBackWhileAbandoned(), []
    loop = SimpleNamespace(call_soon_threadsafe=lambda *call: reports.put(call))
    processing = Processing(
        loop,
        processor,
        lambda batch, _verdict: settled.append([each.tag for each in batch]),
        limits=TimeLimits(0.0, 60.0),
        left_behind=[],
    )
    processing.start()
    processing.submit([delivery(1), delivery(2)])
    processing.submit([delivery(3)])
    assert processor.begun.wait(PATIENCE_SECONDS)
    processing.replace_overdue_thread()
    while not processing.is_idle:
        call, *arguments = reports.get(timeout=PATIENCE_SECONDS)
        call(*arguments)
    processing.abandon()

    assert settled == [[1], [2], [3]]


def _wait_until(condition):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.001)
