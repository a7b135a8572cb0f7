"""omctl ingest, omctl import-keys: publish events from a file, or record keys of events that took effect."""

import re
import secrets
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import BinaryIO, Final, TextIO

import click

from messaging.admin import event_publisher
from messaging.clock import SystemClock
from messaging.envelope import INGEST, Envelope
from messaging.environment import Environment
from messaging.errors import RejectedEventError
from omctl.connections import open_database
from omctl.event_files import read_bodies
from omctl.interface import Command, change_options, print_table, progress_bar, rate_option, show_json
from omctl.interventions import RateLimiter, cancellable
from workers.db.engine import DatabaseClock, transact
from workers.db.ingest import import_keys as record_keys
from workers.intake import installed_handlers
from workers.parsing import DriftNotes, microseconds_of, parse_timestamp, read_body

MAX_REPORTED: Final = 10
"""Unreadable events or lines that are shown; a file of another kind has nothing else."""
BATCH_KEYS: Final = 1_000

# Conversation and time both may contain colons: the time is what looks like one.
_KEY: Final = re.compile(r"(?P<conversation>.+):(?P<time>\d{4}-\d\d-\d\d[Tt ].+)")


@dataclass(slots=True)
class _Account:
    """Events published so far, by type, and bodies that cannot be read."""

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


@click.command(cls=Command)
@click.argument("file", type=click.File())
@change_options
def import_keys(*, file: TextIO, dry_run: bool) -> None:
    """Import keys of the guide's own code from FILE ("-": standard input).

    Each line is one key, conversationId:timestamp. An event with an imported key is recorded here as skipped
    (reason imported) and has no effect, whether it comes by webhook or from reconciliation. Keys are kept for
    OM_RETENTION_DAYS. Importing again adds what is new. Lines that are no keys are reported: exit status 1.

    Examples:
      redis-cli --scan --pattern '*:20*' | omctl import-keys - --dry-run
      redis-cli --scan --pattern '*:20*' | omctl import-keys -
    """
    refused: list[int] = []
    keys = _read_keys(file, refused)
    imported = read = 0
    if dry_run:
        read = sum(1 for _ in keys)
    else:
        with open_database() as engine:
            clock = DatabaseClock(engine)
            while batch := list(islice(keys, BATCH_KEYS)):
                read += len(batch)
                imported += transact(engine, partial(record_keys, keys=batch, now_us=clock.now_us()))
    if not show_json({"keys": read, "imported": imported, "refused_lines": refused, "done": not dry_run}):
        for line in refused[:MAX_REPORTED]:
            click.echo(f"line {line} is not conversationId:timestamp", err=True)
        click.echo(f"{read} keys, {imported} imported, {len(refused)} lines refused")
    if refused:
        raise SystemExit(1)


def _read_keys(file: TextIO, refused: list[int]) -> Iterator[tuple[str, int]]:
    """Yield each key as conversation and microseconds; add the numbers of other lines to *refused*."""
    for number, line in enumerate(file, 1):
        if not (text := line.strip().strip('"')):
            continue
        found = _KEY.fullmatch(text)
        try:
            at = parse_timestamp(found["time"]) if found else None
        except ValueError:
            at = None
        if found is None or at is None:
            refused.append(number)
        else:
            yield found["conversation"], microseconds_of(at)
