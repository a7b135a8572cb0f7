"""omctl ingest: publish events from a file."""

import secrets
from collections import Counter
from collections.abc import Iterator
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
"""The maximum number of unreadable events to print: in a file of the wrong format, all are unreadable."""


@click.command(cls=Command)
@click.argument("files", type=click.File("rb"), nargs=-1, required=True)
@rate_option
@change_options
def ingest(files: tuple[BinaryIO, ...], *, rate: float, dry_run: bool) -> None:
    """Publish the events of FILES ("-": standard input) to the events' exchange, with publisher confirms.

    A file contains one event, arrays of events, or one event per line, in any dialect: webhook bodies, or
    EventBridge's detail events from an archive. An event that already took effect has no second effect, so it
    is safe to ingest a file twice. Unreadable events are reported but not published, and the exit status is
    then 1. Ctrl-C stops after the current event.

    Examples:
      omctl ingest exported-events.jsonl --dry-run
      aws s3 cp s3://bucket/events.json - | omctl ingest -
    """
    published, refused = Counter[str](), list[dict[str, object]]()
    readable = _read_events(files, refused)
    is_cancelled = False
    if dry_run:
        published.update(event_type for _, event_type in readable)
    else:
        is_cancelled = _publish_all(readable, published, rate)
    counts = {"events": published, "refused": refused}
    if not show_json({**counts, "cancelled": is_cancelled, "done": not dry_run}):
        print_table(("type", "events"), sorted(published.items()), empty="No event could be read.")
        click.echo(f"{published.total()} events {'would be published' if dry_run else 'published'}.")
        for event in refused[:MAX_REPORTED]:
            text = "{file}: event {number} cannot be read: {reason} ({code})"
            click.echo(text.format_map(event), err=True)
        if len(refused) > MAX_REPORTED:
            click.echo(f"… and {len(refused) - MAX_REPORTED} more events cannot be read.", err=True)
    if refused or is_cancelled:
        raise SystemExit(1)


def _read_events(
    files: tuple[BinaryIO, ...], refused: list[dict[str, object]]
) -> Iterator[tuple[bytes, str]]:
    """Yield each body that intake can read, with its event type; add other bodies to *refused*."""
    event_types = installed_handlers().keys()
    for file in files:
        for number, body in enumerate(read_bodies(file), 1):
            try:
                events = read_body(body, DriftNotes(), event_types)
            except RejectedEventError as error:
                place = {"file": getattr(file, "name", "-"), "number": number}
                refused.append({**place, "code": error.code, "reason": error.reason})
            else:
                yield body, events[0].event_type


def _publish_all(events: Iterator[tuple[bytes, str]], published: Counter[str], rate: float) -> bool:
    """Publish *events*, and count them by type in *published*; return whether the work was cancelled."""
    urls, token = Environment().strings("OM_AMQP_URL"), secrets.token_hex(8)
    with (
        cancellable() as cancelled,
        event_publisher(urls, client_name="omctl ingest") as broker,
        progress_bar() as bar,
    ):
        rate_limiter = RateLimiter(rate, broker.idle, cancelled)
        task = bar.add_task("Events", total=None, note="")
        while True:
            with broker.keep_alive():
                event = next(events, None)
            if event is None:
                return False
            if not rate_limiter.wait():
                return True
            body, event_type = event
            message_id = f"{token}-{published.total() + 1:x}"
            broker.publish(Envelope(message_id, SystemClock().now_us(), message_id, INGEST, body))
            published[event_type] += 1
            bar.advance(task)
