"""At half load, too, what was answered 200 is looked for in the queue."""

import os
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from tests.benchmarks import latency
from tests.benchmarks.plan import QUICK
from tests.benchmarks.results import Results
from tests.benchmarks.wrk import ON_THE_WAY, Load
from tests.stand.records import Tried

ANSWERED = 100


class Queue:
    """A queue that holds so many deliveries while the edge runs, and is empty after its calibration."""

    def __init__(self, deliveries):
        self.is_calibrated = False
        self.deliveries = deliveries

    def empty(self):
        if self.is_calibrated:
            return self.deliveries
        self.is_calibrated = True
        return 0


@pytest.fixture
def measured(monkeypatch):
    """Return the checks of a measurement in which the queue held so many deliveries at the end."""

    @contextmanager
    def edge(_rig):
        yield SimpleNamespace(pid=os.getpid(), port=0)

    @contextmanager
    def steady_load(*_, **__):
        yield None

    def tries(_load):
        return [Tried(number, 0.0, 0.0, 0.001, 200, 0, 1, False) for number in range(ANSWERED)]

    monkeypatch.setattr(latency, "edge", edge)
    monkeypatch.setattr(latency, "load", lambda *_, **__: Load(1000, 1.0, 0, 0))
    monkeypatch.setattr(latency, "steady_load", steady_load)
    monkeypatch.setattr(latency, "finished", tries)

    def measure(deliveries):
        rig = SimpleNamespace(
            plan=QUICK,
            queue=Queue(deliveries),
            requests=None,
            results=Results(),
            broker=SimpleNamespace(pid=os.getpid()),
            say=print,
        )
        latency.measure_half_load(rig)
        return [check.holds for check in rig.results.checks]

    return measure


def test_what_was_answered_at_half_load_and_is_not_in_the_queue_fails_the_run(measured):
    assert not all(measured(ANSWERED - 1))


def test_more_in_the_queue_than_can_have_been_sent_fails_the_run(measured):
    assert not all(measured(ANSWERED + ON_THE_WAY + 1))


def test_what_was_on_its_way_when_the_calibration_ended_may_be_in_the_queue(measured):
    assert all(measured(ANSWERED))
    assert all(measured(ANSWERED + ON_THE_WAY))
