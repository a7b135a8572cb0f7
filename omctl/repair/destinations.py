"""omctl destinations: show, test, pause and resume the services that events are delivered to."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import click
from sqlalchemy import Connection, Row, func, select

from messaging.clock import SystemClock
from omctl.connections import in_database
from omctl.interface import Group, change_options, json_option, print_table, show_json
from omctl.repair.deliveries import abandon, backfill, find_configured, find_destinations, remove, resend
from workers.db.models import deliveries, outbox
from workers.db.models import destinations as destinations_table
from workers.deliver import OPERATOR, Destination, Outcome, Transport, WebhookMessage
from workers.deliver import pause as pause_destination
from workers.deliver import resume as resume_destination

TEST_TYPE: Final = "openmessaging:test"
"""An event type that the platform never sends. Receivers must answer unknown types with a 2xx."""


@click.group(cls=Group, commands=[resend, remove, backfill, abandon])
def destinations() -> None:
    """Manage the services that events are delivered to (OM_DESTINATIONS).

    Examples:
      omctl destinations list
      omctl destinations test crm
      omctl destinations pause crm && … && omctl destinations resume crm
      omctl destinations resend crm --since 2h --reason "it has its new schema"
      omctl destinations backfill crm --since 2h --reason "one host had the older file"
      omctl destinations remove crm --reason "replaced by sales"
    """


@destinations.command("list")
@json_option
def list_() -> None:
    """Show each destination, its state, and the events that wait for it."""
    configured = find_destinations()
    states = in_database(read_states, configured)
    if show_json({"destinations": states}):
        return
    for state in states:
        state["events"] = "\n".join(event.removeprefix("openmessaging:") for event in state["events"])
    keys = ("name", "state", "waiting", "oldest_waiting_at", "last_failure", "events", "url")
    columns = ("destination", "state", "waiting", "since", "last failure", "events", "url")
    empty = "No destination: OM_DESTINATIONS is not set, and no delivery waits."
    print_table(columns, [[state[key] for key in keys] for state in states], empty=empty)


def read_states(connection: Connection, configured: Mapping[str, Destination]) -> list[dict[str, Any]]:
    """Return the state of every destination that is configured or has waiting deliveries."""
    known = {row.name: row for row in connection.execute(select(destinations_table))}
    d = deliveries.c
    query = (
        select(d.destination, func.count().label("number"), func.min(outbox.c.created_at).label("oldest"))
        .join(outbox, outbox.c.id == d.outbox_id)
        .where(d.outcome.is_(None))
        .group_by(d.destination)
    )
    waiting: dict[str, Any] = {row.destination: row for row in connection.execute(query)}
    return [
        {
            "name": name,
            "url": destination.shown_url if destination else None,
            "events": destination.events if destination else (),
            "state": _describe_state(destination, known.get(name)),
            "waiting": waiting[name].number if name in waiting else 0,
            "oldest_waiting_at": waiting[name].oldest if name in waiting else None,
            "last_failure": _read_last_failure(connection, name),
        }
        for name in sorted({*configured, *waiting})
        for destination in [configured.get(name)]
    ]


def _read_last_failure(connection: Connection, name: str) -> str | None:
    """Return the reason for the last failed attempt among a destination's waiting deliveries.

    The time of a failure is not recorded, so the delivery with the latest next attempt counts as the last
    to fail. Delays grow and have jitter, so this might not be the last of several recent failures.
    """
    d = deliveries.c
    failed = select(d.reason).where(d.destination == name, d.outcome.is_(None), d.reason.is_not(None))
    return connection.scalar(failed.order_by(d.due_at.desc(), d.outbox_id.desc()).limit(1))


def _describe_state(destination: Destination | None, known: Row[Any] | None) -> str:
    if destination is None:
        return "not configured"
    if not destination.enabled:
        return "not enabled"
    if known is None:
        return "no deliver process yet"
    return f"paused ({known.paused_because})" if known.paused_because else "active"


@destinations.command()
@click.argument("name")
@json_option
def test(name: str) -> None:
    """Send one signed event of type openmessaging:test, and show the answer.

    Exit status 1: the answer was not 2xx.
    """
    destination, clock = find_configured(name), SystemClock()
    message = WebhookMessage(
        *(0, "test", TEST_TYPE, datetime.now(tz=UTC), clock.now_us()), late=False, verified=None, payload=None
    )
    started = time.monotonic()
    result = Transport(destination, clock).send(message)
    seconds = round(time.monotonic() - started, 3)
    answer = {"answer": result.reason, "outcome": result.outcome, "seconds": seconds}
    if not show_json({"destination": name, **answer}):
        click.echo(f"{name}: {result.reason} ({result.outcome}) after {seconds} s")
    if result.outcome is not Outcome.DELIVERED:
        raise SystemExit(1)


@destinations.command()
@click.argument("name")
@change_options
def pause(name: str, *, dry_run: bool) -> None:
    """Stop deliveries to a destination until it is resumed; new events wait."""
    _switch(name, to_paused=True, dry_run=dry_run)


@destinations.command()
@click.argument("name")
@change_options
def resume(name: str, *, dry_run: bool) -> None:
    """Deliver to a destination again, starting with the waiting events."""
    _switch(name, to_paused=False, dry_run=dry_run)


def _switch(name: str, *, to_paused: bool, dry_run: bool) -> None:
    def change(connection: Connection) -> bool:
        d = destinations_table.c
        found = select(d.name).where(d.name == name, d.paused_at.is_not(None))
        is_paused = connection.execute(found).first() is not None
        if not is_paused:
            # A paused destination can be missing from the settings. Any other destination must be in them.
            find_configured(name)
        if dry_run or is_paused is to_paused:
            return is_paused is not to_paused
        if to_paused:
            return pause_destination(connection, name, SystemClock().now_us(), OPERATOR)
        return resume_destination(connection, name)

    is_new = in_database(change)
    if not show_json({"destination": name, "changed": is_new, "done": is_new and not dry_run}):
        old, new = ("already paused", "paused") if to_paused else ("not paused", "resumed")
        state = new if is_new else old
        click.echo(f"{name}: {'would be ' if dry_run and is_new else ''}{state}")
