"""Fixtures for tests of the retain role: old events and their deliveries."""

from pathlib import Path

import pytest

from messaging.clock import SystemClock
from omctl.repair.retain import retain as command
from tests.fakes.clock import MovedClock
from tests.integration.workers.commands import run_omctl
from tests.integration.workers.events import deliver, routed, said
from workers.db.engine import transact
from workers.db.ingest import WindowBounds
from workers.db.models import deliveries
from workers.deliver import EVENT_TYPES as TOLD_TYPES
from workers.deliver import Destination
from workers.deliver.subscriptions import register
from workers.intake import Intake
from workers.retain import retain
from workers.settle import Settler

SOURCES = Path(__file__).parents[4]
DAY_US = 86_400_000_000
AT_ONCE = WindowBounds(0, 0)


def run(url, *arguments, days="30", event_days="30"):
    """Run `omctl retain` and return the number of deleted rows for each table."""
    settings = {"OM_PAYLOAD_RETENTION_DAYS": days, "OM_RETENTION_DAYS": event_days}
    report = run_omctl(command, *arguments, OM_DATABASE_URL=url, **settings)
    return {table["table"]: table["rows"] for table in report["tables"]}


def run_in_small_batches(engine):
    """Delete two rows at a time."""
    options = {"payload_days": 30, "event_days": 30, "dry_run": False, "batch_rows": 2}
    expired = retain(engine, SystemClock().now_us(), **options)
    return {table.table: table.rows for table in expired}


def clock_of(days_ago):
    """Return a clock that is *days_ago* days behind the present."""
    return MovedClock(-days_ago * DAY_US)


def some_of_each(conversation):
    return (
        deliver(said("a", conversation=conversation)),
        deliver(routed("QUEUED", conversation=conversation, after_ms=1)),
    )


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
