"""Fixtures for tests of settle: a clock, fake platforms, and intake and settlers that use them."""

from types import SimpleNamespace

import pytest

from tests.fakes.clock import FakeClock
from workers.db.ingest import WindowBounds
from workers.genesys import PlatformState
from workers.intake.intake import Intake
from workers.parsing.events import QUEUED
from workers.settle import Settler, Verifier

WINDOW = WindowBounds()
OUTBOX = "SELECT event_type, event_id, late FROM outbox ORDER BY id"


class KilledError(BaseException):
    """Simulates a process that is killed before its commit or during a request."""


class Platform:
    """A platform with one answer for each conversation; if the answer is an exception, it is raised."""

    def __init__(self, **said):
        self.said = said
        self.asked = []

    def find(self, conversation_id, _is_enough):
        self.asked.append(conversation_id)
        answer = self.said[conversation_id.replace("-", "_")]
        if isinstance(answer, Exception):
            raise answer
        return answer


class QueuedAtThePlatform:
    """A platform that reports every conversation as waiting in a routing queue."""

    def find(self, _conversation_id, _is_enough):
        return PlatformState(QUEUED)


def types(query):
    return [event_type.rpartition(":")[2] for event_type, *_ in query(OUTBOX)]


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def intake(engine, handlers, clock):
    worker = Intake(engine, handlers, clock, window=WINDOW)
    return lambda *deliveries: worker.process(deliveries)


@pytest.fixture
def make_settler(engine, clock):
    """Return a function that makes the steps of one settle process."""

    def make(states=None, **ending):
        settler = Settler(engine, clock, window=WINDOW, verifies=states is not None)
        verifier = Verifier(engine, clock, states=states, **{"end_seconds": 600.0, **ending})

        def settle_closed():
            """Move the clock forward until every window has closed, and settle the windows."""
            clock.seconds += 2.1
            return settler.settle_windows()

        return SimpleNamespace(
            settle_windows=settler.settle_windows,
            settle_closed=settle_closed,
            settle_updates=verifier.settle_updates,
            end_updates=verifier.end_updates,
            figures=verifier.figures,
        )

    return make
