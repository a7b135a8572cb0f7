"""One thread processes all batches; a lost connection drops its batches and their results."""

import queue
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from messaging.consuming import Delivery, Settlement
from messaging.consuming.processing import Processing
from messaging.envelope import WEBHOOK, Envelope
from messaging.errors import RetryLaterError

PATIENCE_SECONDS = 5.0


def delivery(tag):
    return Delivery(tag, "events", 1, Envelope(f"message-{tag}", 1, "request", WEBHOOK, b"{}"))


class Processor:
    """Blocks on the batch with tag 1 until the test sets `finish`, then raises `error` if the test set it."""

    def __init__(self):
        self.started = threading.Event()
        self.finish = threading.Event()
        self.error = None
        self.threads = set()

    def process(self, batch):
        self.threads.add(threading.current_thread())
        if batch[0].tag == 1:
            self.started.set()
            assert self.finish.wait(PATIENCE_SECONDS)
            if self.error:
                raise self.error
        return Settlement()

    def prefetch(self, batch):
        pass


@pytest.fixture
def processor():
    return Processor()


@pytest.fixture
def calls():
    """The callbacks that the thread schedules on the loop."""
    return queue.Queue()


@pytest.fixture
def processing(processor, calls):
    loop = SimpleNamespace(call_soon_threadsafe=lambda *call: calls.put(call))
    processing = Processing(loop, processor)
    yield processing
    processor.finish.set()
    processing.close()
    processing._thread.join(PATIENCE_SECONDS)
    assert not processing._thread.is_alive()


def connect(processing):
    settled = []
    processing.connect(lambda batch, _settlement: settled.append([each.tag for each in batch]))
    return settled


@pytest.mark.parametrize("error", [None, RetryLaterError("away", delay=60.0), ValueError("a bug")])
def test_a_lost_connection_drops_its_batches_and_keeps_the_thread(processing, processor, calls, error):
    lost = connect(processing)
    processing.submit([delivery(1)])
    processing.submit([delivery(2)])
    assert processor.started.wait(PATIENCE_SECONDS)
    processing.abandon()
    settled = connect(processing)
    processing.submit([delivery(3)])
    processor.error = error
    processor.finish.set()
    run_until_idle(processing, calls)
    assert (lost, settled) == ([], [[3]])
    assert len(processor.threads) == 1


UNEXPECTED_END = """
import time
from types import SimpleNamespace
from messaging.consuming.processing import Processing

def process(batch):
    raise SystemExit

processing = Processing(None, SimpleNamespace(process=process, prefetch=lambda batch: None))
processing.connect(None)
processing.submit([])
time.sleep(30)
"""


def test_the_process_ends_if_its_thread_ends_unexpectedly():
    ended = subprocess.run(
        [sys.executable, "-c", UNEXPECTED_END], capture_output=True, timeout=20, check=False
    )
    assert ended.returncode == 1
    assert b"processing_ended" in ended.stdout + ended.stderr


def run_until_idle(processing, calls):
    while not processing.is_idle:
        call, *arguments = calls.get(timeout=PATIENCE_SECONDS)
        call(*arguments)
