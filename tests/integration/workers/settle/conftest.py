"""What tests of settling share: a clock that they move, intake and settlers that go by it."""

import pytest

from tests.integration.workers.moved_clock import MovedClock
from workers.intake.intake import Intake
from workers.settle import Settler
from workers.tables import WindowBounds

WINDOW = WindowBounds()


@pytest.fixture
def clock():
    return MovedClock()


@pytest.fixture
def intake(engine, handlers, clock):
    worker = Intake(engine, handlers, clock, window=WINDOW)
    return lambda *deliveries: worker.process(deliveries)


@pytest.fixture
def make_settler(engine, clock):
    return lambda states=None: Settler(engine, clock, window=WINDOW, states=states)
