"""Fixtures for tests of settle: a clock that the test moves, and intake and settlers that use it."""

from types import SimpleNamespace

import pytest

from tests.fakes.clock import FakeClock
from workers.db.ingest import WindowBounds
from workers.intake.intake import Intake
from workers.settle import Settler, Verifier

WINDOW = WindowBounds()


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
