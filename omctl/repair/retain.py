"""omctl retain: delete data that is older than its retention time."""

from dataclasses import asdict

import click

from omctl.connections import open_database
from omctl.interface import Command, change_options, print_table, show_json
from workers.db.engine import DatabaseClock
from workers.retain import RetainSettings
from workers.retain import retain as delete_expired


@click.command(cls=Command)
@change_options
def retain(*, dry_run: bool) -> None:
    """Delete data that is older than its retention time.

    Raw bodies are deleted after OM_PAYLOAD_RETENTION_DAYS. Events and their records are deleted if no further
    copy arrives for OM_RETENTION_DAYS; conversations, if they do not change in that time. Events that are not
    settled or not delivered stay, with their bodies. A transaction deletes at most 1,000 rows, so you can run
    this beside the workers and interrupt it. Run it daily, or let a timer run `python -m workers retain`.

    Examples:
      omctl retain --dry-run
      OM_PAYLOAD_RETENTION_DAYS=7 omctl retain
    """
    settings = RetainSettings.from_environment()
    with open_database() as engine:
        days = {"payload_days": settings.payload_days, "event_days": settings.event_days}
        expired = list(delete_expired(engine, DatabaseClock(engine).now_us(), **days, dry_run=dry_run))
    if show_json({"tables": [asdict(table) for table in expired], "done": not dry_run}):
        return
    print_table(
        ("table", "older than", "would be deleted" if dry_run else "deleted"),
        [(table.table, table.older_than, table.rows) for table in expired],
    )
