"""omctl retain: delete what has been kept long enough."""

from __future__ import annotations

from dataclasses import asdict

import click

from messaging.clock import SystemClock
from omctl.console import dry_run_option, json_option, print_json, print_table
from omctl.database import in_words
from workers.retain import open_database, read_retain_settings
from workers.retain import retain as delete_expired

EXAMPLES = """\b
Examples:
  omctl retain --dry-run
  OM_PAYLOAD_RETENTION_DAYS=7 omctl retain
"""


@click.command(epilog=EXAMPLES)
@dry_run_option
@json_option
def retain(*, dry_run: bool, as_json: bool) -> None:
    """Delete what has been kept long enough.

    Raw bodies go after OM_PAYLOAD_RETENTION_DAYS; events, and all that hangs on them, when no copy has come
    for OM_RETENTION_DAYS; conversations when they have not changed for as long. What is not settled, or what
    a destination has not got, stays with its body. In batches of 1,000 rows, each a transaction, so that it
    may run beside the workers and be interrupted at any time. Run it once a day; `python -m workers retain`
    is the same for a timer.
    """
    settings = read_retain_settings()
    with in_words(), open_database(settings) as engine:
        expired = list(
            delete_expired(
                engine,
                SystemClock().now_us(),
                payload_days=settings.payload_days,
                event_days=settings.event_days,
                dry_run=dry_run,
            )
        )
    if as_json:
        print_json({"tables": [asdict(each) for each in expired], "done": not dry_run})
        return
    print_table(
        ("table", "older than", "would be deleted" if dry_run else "deleted"),
        [(each.table, f"{each.older_than:%Y-%m-%d %H:%M}", str(each.rows)) for each in expired],
    )
