"""omctl destinations: the services behind: what waits for each, try one, pause, resume, send again."""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

import click
from sqlalchemy import select

from messaging.clock import SystemClock
from messaging.environment import Environment
from messaging.errors import ConfigurationError
from omctl.commands.resend import resend
from omctl.console import dry_run_option, json_option, print_json, print_table
from omctl.database import database_url, in_words
from omctl.destination_states import states
from omctl.subscriptions import abandon, backfill, remove
from workers.db.engine import make_engine, transact
from workers.db.models import destinations as destinations_table
from workers.deliver import (
    OPERATOR,
    Message,
    Transport,
    body_of,
    configured_destinations,
    pause,
    resume,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from workers.deliver import Destination

Result = TypeVar("Result")

TEST_TYPE = "openmessaging:test"
"""What no platform sends; a receiver answers 2xx to types that it does not know."""

EXAMPLES = """\b
Examples:
  omctl destinations list
  omctl destinations test crm
  omctl destinations pause crm && … && omctl destinations resume crm
  omctl destinations resend crm --since 2h --reason "it has its new schema"
  omctl destinations backfill crm --since 2h --reason "one host had the older file"
  omctl destinations remove crm --reason "replaced by sales"
"""


@click.group(epilog=EXAMPLES)
def destinations() -> None:
    """Look after the services that events are delivered to (OM_DESTINATIONS)."""


@destinations.command("list")
@json_option
def list_(*, as_json: bool) -> None:
    """Show each destination, its state, and what waits for it."""
    configured = {each.name: each for each in configured_destinations(Environment())}
    rows = _in_database(lambda connection: states(connection, configured))
    if as_json:
        print_json({"destinations": [asdict(row) for row in rows]})
        return
    print_table(
        ("destination", "state", "waiting", "since", "last failure", "events", "url"),
        [
            (
                row.name,
                row.state,
                str(row.waiting),
                f"{row.oldest_waiting_at:%Y-%m-%d %H:%M:%S}" if row.oldest_waiting_at else "",
                row.last_failure,
                "\n".join(event.removeprefix("openmessaging:") for event in row.events),
                row.url,
            )
            for row in rows
        ],
    )


@destinations.command()
@click.argument("name")
@json_option
def test(name: str, *, as_json: bool) -> None:
    """Send one signed event of type openmessaging:test, and say what the destination answers.

    Exit status 1: it was not 2xx.
    """
    destination = _configured(name)
    message = Message(
        0,
        "test",
        TEST_TYPE,
        datetime.now(tz=UTC),
        SystemClock().now_us(),
        late=False,
        verified=None,
        payload=None,
    )
    started = time.monotonic()
    answer = Transport(destination, SystemClock()).send(message.webhook_id, body_of(message))
    seconds = round(time.monotonic() - started, 3)
    if as_json:
        print_json({"destination": name, "answer": answer.reason, "end": answer.end, "seconds": seconds})
    else:
        click.echo(f"{name}: {answer.reason} ({answer.end}) after {seconds} s")
    if not answer.is_success:
        raise SystemExit(1)


@destinations.command("pause")
@click.argument("name")
@dry_run_option
@json_option
def pause_(name: str, *, dry_run: bool, as_json: bool) -> None:
    """Give a destination nothing until it is resumed; what comes for it waits."""
    _configured(name)
    now_us = SystemClock().now_us()
    if dry_run:
        is_new = not _in_database(lambda connection: _is_paused(connection, name))
    else:
        is_new = _in_database(lambda connection: pause(connection, name, now_us, OPERATOR))
    _tell(name, "paused" if is_new else "was paused already", is_new=is_new, dry_run=dry_run, as_json=as_json)


@destinations.command("resume")
@click.argument("name")
@dry_run_option
@json_option
def resume_(name: str, *, dry_run: bool, as_json: bool) -> None:
    """Deliver to a destination again, what has waited first."""
    was_paused = _in_database(lambda connection: _is_paused(connection, name))
    if not was_paused:
        # What is paused may have left the settings since; what is neither is a slip of the pen.
        _configured(name)
    elif not dry_run:
        was_paused = _in_database(lambda connection: resume(connection, name))
    _tell(
        name,
        "resumed" if was_paused else "was not paused",
        is_new=was_paused,
        dry_run=dry_run,
        as_json=as_json,
    )


for command in (resend, remove, backfill, abandon):
    destinations.add_command(command)


def _is_paused(connection: Connection, name: str) -> bool:
    d = destinations_table.c
    found = select(d.name).where(d.name == name, d.paused_at.is_not(None))
    return connection.execute(found).first() is not None


def _tell(name: str, what: str, *, is_new: bool, dry_run: bool, as_json: bool) -> None:
    if as_json:
        print_json({"destination": name, "changed": is_new, "done": is_new and not dry_run})
    else:
        click.echo(f"{name}: {'would be ' if dry_run and is_new else ''}{what}")


def _configured(name: str) -> Destination:
    configured = {each.name: each for each in configured_destinations(Environment())}
    if name not in configured:
        names = ", ".join(configured) or "none"
        raise ConfigurationError(f"OM_DESTINATIONS has no destination {name}; it has {names}")
    return configured[name]


def _in_database(work: Callable[[Connection], Result]) -> Result:
    engine = make_engine(database_url(Environment()))
    try:
        with in_words():
            return transact(engine, work)
    finally:
        engine.dispose()
