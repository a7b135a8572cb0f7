"""omctl ingest: publish events from a file."""

import secrets
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Final

import click

from messaging.admin import event_publisher
from messaging.clock import SystemClock
from messaging.envelope import INGEST, Envelope
from messaging.environment import Environment
from messaging.errors import RejectedEventError
from omctl.event_files import read_bodies
from omctl.interface import Command, change_options, print_table, progress_bar, rate_option, show_json
from omctl.interventions import RateLimiter, cancellable
from workers.intake import installed_handlers
from workers.parsing import DriftNotes, read_body

MAX_REPORTED: Final = 10
"""The most unreadable events to show. In a file of another kind, every event is unreadable."""


@dataclass(slots=True)
class _Account:
    """The events published so far, by type, and the bodies that cannot be read."""

    published: Counter[str] = field(default_factory=Counter)
    refused: list[dict[str, object]] = field(default_factory=list)
    is_cancelled: bool = False


@click.command(cls=Command)
@click.argument("files", type=click.File("rb"), nargs=-1, required=True)
@rate_option
@change_options
def ingest(files: tuple[BinaryIO, ...], *, rate: float, dry_run: bool) -> None:
    """Publish the events of FILES ("-": standard input) to the events' exchange, each confirmed.

    A file is one event, arrays of events, or one event a line, in any dialect: webhook bodies, or
    EventBridge's detail events from an archive. An event that took effect before has no effect again, so a
    file may be ingested twice. Unreadable events are reported and not published: exit status 1. Ctrl-C stops
    between two events.

    Examples:
      omctl ingest exported-events.jsonl --dry-run
      aws s3 cp s3://bucket/events.json - | omctl ingest -
    """
    account = _Account()
    readable = _read_events(files, account)
    if dry_run:
        account.published.update(event_type for _, event_type in readable)
    else:
        _publish_all(readable, account, rate)
    counts = {"events": account.published, "refused": account.refused}
    if not show_json({**counts, "cancelled": account.is_cancelled, "done": not dry_run}):
        print_table(("type", "events"), sorted(account.published.items()), empty="No event could be read.")
        click.echo(f"{account.published.total()} events {'would be published' if dry_run else 'published'}.")
        for refused in account.refused[:MAX_REPORTED]:
            place = f"{refused['file']}: event {refused['number']}"
            click.echo(f"{place} cannot be read: {refused['reason']} ({refused['code']})", err=True)
        if len(account.refused) > MAX_REPORTED:
            click.echo(f"… and {len(account.refused) - MAX_REPORTED} more events cannot be read.", err=True)
    if account.refused or account.is_cancelled:
        raise SystemExit(1)


def _read_events(files: tuple[BinaryIO, ...], account: _Account) -> Iterator[tuple[bytes, str]]:
    """Yield each body that intake can read, with its event type; record the others as refused."""
    event_types = installed_handlers().keys()
    for file in files:
        for number, body in enumerate(read_bodies(file), 1):
            try:
                events = read_body(body, DriftNotes(), event_types)
            except RejectedEventError as error:
                place = {"file": getattr(file, "name", "-"), "number": number}
                account.refused.append({**place, "code": error.code, "reason": error.reason})
            else:
                yield body, events[0].event_type


def _publish_all(events: Iterator[tuple[bytes, str]], account: _Account, rate: float) -> None:
    urls, token = Environment().strings("OM_AMQP_URL"), secrets.token_hex(8)
    with (
        cancellable() as cancelled,
        event_publisher(urls, client_name="omctl ingest") as broker,
        progress_bar() as bar,
    ):
        rate_limiter = RateLimiter(rate, broker.idle, cancelled)
        task = bar.add_task("Events", total=None, note="")
        for body, event_type in events:
            if not rate_limiter.wait():
                account.is_cancelled = True
                return
            message_id = f"{token}-{account.published.total() + 1:x}"
            broker.publish(Envelope(message_id, SystemClock().now_us(), message_id, INGEST, body))
            account.published[event_type] += 1
            bar.advance(task)
