"""omctl retain: delete data older than its retention time."""

from dataclasses import asdict
from typing import Final

import click

from messaging.clock import SystemClock
from omctl.connections import open_database
from omctl.console import format_time, print_json, print_table
from omctl.options import change_options
from workers.retain import RetainSettings
from workers.retain import retain as delete_expired

EXAMPLES: Final = """\b
Examples:
  omctl retain --dry-run
  OM_PAYLOAD_RETENTION_DAYS=7 omctl retain
"""


@click.command(epilog=EXAMPLES)
@change_options
def retain(*, dry_run: bool, as_json: bool) -> None:
    """Delete data older than its retention time.

    Raw bodies are deleted after OM_PAYLOAD_RETENTION_DAYS; events and their records after OM_RETENTION_DAYS
    without a further copy; conversations after as long without a change. Events that are not settled or not
    delivered stay, with their bodies. Each transaction deletes 1,000 rows, so the command may run beside the
    workers and be interrupted. Run it daily; `python -m workers retain` is the same for a timer.
    """
    settings = RetainSettings.from_environment()
    with open_database() as engine:
        days = {"payload_days": settings.payload_days, "event_days": settings.event_days}
        expired = list(delete_expired(engine, SystemClock().now_us(), **days, dry_run=dry_run))
    if as_json:
        print_json({"tables": [asdict(table) for table in expired], "done": not dry_run})
        return
    print_table(
        ("table", "older than", "would be deleted" if dry_run else "deleted"),
        [(table.table, format_time(table.older_than), str(table.rows)) for table in expired],
    )
