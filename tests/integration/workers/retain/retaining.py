"""Run retention, and make clocks that are set in the past."""

from pathlib import Path

from messaging.clock import SystemClock
from omctl.repair.retain import retain as command
from tests.fakes.clock import MovedClock
from tests.integration.workers.commands import run_omctl
from tests.integration.workers.events import deliver, routed, said
from workers.db.ingest import WindowBounds
from workers.retain import retain

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
    expired = retain(
        engine, SystemClock().now_us(), payload_days=30, event_days=30, dry_run=False, batch_rows=2
    )
    return {table.table: table.rows for table in expired}


def clock_of(days_ago):
    """Return a clock that is *days_ago* days behind the present."""
    return MovedClock(-days_ago * DAY_US)


def some_of_each(conversation):
    return (
        deliver(said("a", conversation=conversation)),
        deliver(routed("QUEUED", conversation=conversation, after_ms=1)),
    )
