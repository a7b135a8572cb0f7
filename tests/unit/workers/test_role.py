"""A role stops within five seconds even if one of its steps hangs."""

import signal
import threading
import time

import pytest

from messaging.consuming import consumer
from workers import role
from workers.deliver import deliverer
from workers.role import run_role


@pytest.fixture(autouse=True)
def handlers():
    """Restore the signal handlers after the test."""
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def test_a_stopping_worker_waits_at_most_four_and_a_half_seconds():
    assert deliverer.STOP_SECONDS < role.STOP_SECONDS
    assert role.STOP_SECONDS + role.GOODBYE_SECONDS <= 4.5
    assert consumer.STOP_SECONDS + role.GOODBYE_SECONDS + consumer.TICK_SECONDS <= 4.5


def test_a_step_that_hangs_does_not_delay_the_stop(monkeypatch):
    monkeypatch.setattr(role, "STOP_SECONDS", 0.2)
    finished, answered = threading.Event(), threading.Event()

    def deliver():
        return 1

    def ask_the_platform():
        return int(answered.wait(30.0))

    def fail():
        raise ValueError("a bug")

    started = time.monotonic()
    with pytest.raises(ValueError, match="a bug"):
        run_role("test", [deliver, ask_the_platform, fail], finish=finished.set)
    answered.set()
    assert time.monotonic() - started < 10.0
    assert finished.is_set()
