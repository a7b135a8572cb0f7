"""Run retention, with a clock some days before the present."""

import json
from pathlib import Path

from click.testing import CliRunner

from messaging.clock import SystemClock
from omctl.repair.retain import retain as command
from tests.fakes.clock import MovedClock
from tests.integration.workers.events import deliver, routed, said
from workers.db.ingest import WindowBounds
from workers.retain import retain

SOURCES = Path(__file__).parents[4]
DAY_US = 86_400_000_000
AT_ONCE = WindowBounds(0, 0)


def run(url, *arguments, days="30", event_days="30"):
    environment = {
        "OM_DATABASE_URL": url,
        "OM_PAYLOAD_RETENTION_DAYS": days,
        "OM_RETENTION_DAYS": event_days,
    }
    result = CliRunner().invoke(command, ["--json", *arguments], env=environment, catch_exceptions=False)
    report = json.loads(result.output[result.output.index("{\n") :])
    return {table["table"]: table["rows"] for table in report["tables"]}


def run_in_small_batches(engine):
    """Delete two rows at a time."""
    expired = retain(
        engine, SystemClock().now_us(), payload_days=30, event_days=30, dry_run=False, batch_rows=2
    )
    return {table.table: table.rows for table in expired}


def clock_of(days_ago):
    """Return a clock so many days before the present."""
    return MovedClock(-days_ago * DAY_US)


def some_of_each(conversation):
    return (
        deliver(said("a", conversation=conversation)),
        deliver(routed("QUEUED", conversation=conversation, after_ms=1)),
    )
