"""omctl ingest: hand events in from a file, as if they had been posted."""

from __future__ import annotations

import secrets
from collections import Counter
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

import click

from messaging.admin import republisher
from messaging.clock import SystemClock
from messaging.envelope import INGEST, Envelope
from messaging.environment import Environment
from messaging.errors import RejectedEventError
from omctl.bodies import bodies_of
from omctl.cancelling import cancellable
from omctl.console import dry_run_option, json_option, print_json, print_table, progress_bar
from omctl.pace import Pace, rate_option
from workers.intake import installed_handlers
from workers.parsing import ROUTING_STATUSES, DriftNotes, read_body

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from messaging.admin import Republisher

EXAMPLES = """\b
Examples:
  omctl ingest exported-events.jsonl --dry-run
  aws s3 cp s3://bucket/events.json - | omctl ingest -
"""


@dataclass(slots=True)
class _Account:
    """What became of the bodies so far."""

    taken: Counter[str] = field(default_factory=Counter)
    refused: list[dict[str, object]] = field(default_factory=list)
    is_cancelled: bool = False

    @property
    def total(self) -> int:
        return self.taken.total()


@click.command(epilog=EXAMPLES)
@click.argument("files", type=click.File("rb"), nargs=-1, required=True)
@rate_option
@dry_run_option
@json_option
def ingest(files: tuple[BinaryIO, ...], *, rate: float, dry_run: bool, as_json: bool) -> None:
    """Publish the events of FILES ("-": standard input) to the events' exchange, each confirmed.

    A file is one event, arrays of events, or one a line; in any dialect: webhooks, or EventBridge's detail
    events out of an archive. What took effect before is refused by its key, so a file may be handed in
    twice. What cannot be read is told of and not published. Exit status 1 if there was any. Ctrl-C stops
    between two events.
    """
    account = _Account()
    readable = _readable(chain.from_iterable(map(bodies_of, files)), account)
    if dry_run:
        for _ in readable:
            pass
    else:
        _publish_all(readable, account, rate)
    _tell(account, dry_run=dry_run, as_json=as_json)
    if account.refused or account.is_cancelled:
        raise SystemExit(1)


def _readable(bodies: Iterator[bytes], account: _Account) -> Iterator[bytes]:
    """Yield what intake will be able to read, and count it when it is done with."""
    event_types = installed_handlers(ROUTING_STATUSES).keys()
    for number, body in enumerate(bodies, 1):
        try:
            events = read_body(body, DriftNotes(), event_types)
        except RejectedEventError as error:
            account.refused.append({"number": number, "code": error.code, "reason": error.reason})
            continue
        yield body
        account.taken[events[0].event_type] += 1


def _publish_all(bodies: Iterator[bytes], account: _Account, rate: float) -> None:
    urls = Environment().strings("OM_AMQP_URL")
    with (
        cancellable() as cancelled,
        republisher(urls, client_name="omctl ingest") as broker,
        progress_bar() as bar,
    ):
        pace, task = Pace(rate, broker.idle, cancelled), bar.add_task("Events", total=None, note="")
        token = secrets.token_hex(8)
        for body in bodies:
            pace.wait()
            if cancelled.is_set():
                account.is_cancelled = True
                return
            _publish(broker, body, f"{token}-{account.total + 1:x}")
            bar.advance(task)


def _publish(broker: Republisher, body: bytes, message_id: str) -> None:
    broker.publish(Envelope(message_id, SystemClock().now_us(), message_id, INGEST, body))


def _tell(account: _Account, *, dry_run: bool, as_json: bool) -> None:
    done = "would be published" if dry_run else "published"
    if as_json:
        print_json({"events": account.taken, "refused": account.refused, "cancelled": account.is_cancelled})
        return
    print_table(("type", "events"), [(kind, str(count)) for kind, count in sorted(account.taken.items())])
    click.echo(f"{account.total} {done}.")
    for each in account.refused:
        click.echo(f"Event {each['number']} cannot be read: {each['reason']} ({each['code']})", err=True)
