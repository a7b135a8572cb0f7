"""Fixtures for tests of the retain role: old events and their deliveries."""

import pytest

from messaging.clock import SystemClock
from tests.integration.workers.retain.retaining import AT_ONCE, clock_of
from workers.db.engine import transact
from workers.db.models import deliveries
from workers.deliver import EVENT_TYPES as TOLD_TYPES
from workers.deliver import Destination
from workers.deliver.subscriptions import register
from workers.intake import Intake
from workers.settle import Settler


@pytest.fixture
def process(engine, handlers):
    """Return a function that processes and settles events with a clock set in the past."""

    def run(days, *deliveries, settles=True):
        clock = clock_of(days)
        Intake(engine, handlers, clock, window=AT_ONCE).process(deliveries)
        if settles:
            Settler(engine, clock, window=AT_ONCE, verifies=False).settle_windows()

    return run


@pytest.fixture
def tell(engine):
    """Return a function that subscribes the named destinations, if any, to events settled from now on."""

    def run(*names):
        destinations = [Destination(name, "http://crm", ("secret",), TOLD_TYPES) for name in names]
        transact(engine, lambda connection: register(connection, destinations, SystemClock().now_us()))

    return run


@pytest.fixture
def finish(engine):
    """Return a function that updates all deliveries with the given values."""

    def run(**values):
        transact(engine, lambda connection: connection.execute(deliveries.update().values(**values)))

    return run
