"""omctl destinations remove, backfill, abandon: decide what a destination gets and what waits for it."""

from __future__ import annotations

import json
import secrets
from functools import partial
from typing import TYPE_CHECKING, Final, NoReturn

import click

from messaging.errors import ConfigurationError
from omctl.cancelling import cancellable
from omctl.console import dry_run_option, json_option, print_json
from omctl.database import operators_database
from omctl.moments import MOMENT
from omctl.person import person
from workers.db.engine import DatabaseClock, transact
from workers.db.interventions import (
    ABANDON_DELIVERIES,
    BACKFILL_DELIVERIES,
    REMOVE_SUBSCRIPTIONS,
    Intervention,
    begin_intervention,
    end_intervention,
    note_progress,
)
from workers.deliver import (
    abandon_some,
    count_unplanned,
    count_waiting,
    newest_entry,
    plan_some,
    subscribed_types,
    unsubscribe,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sqlalchemy import Connection, Engine

REASON: Final = click.option(
    "--reason", default="", help="Why; recorded with your user name. Required unless --dry-run."
)


@click.command()
@click.argument("name")
@REASON
@dry_run_option
@json_option
def remove(*, name: str, reason: str, dry_run: bool, as_json: bool) -> None:
    """Plan no further deliveries for destination NAME.

    Take it out of each host's file first: a deliver worker that starts with it subscribes it again. What
    waits for it stays: see omctl destinations abandon.
    """

    def count(connection: Connection) -> int:
        return len(subscribed_types(connection, name))

    def step(connection: Connection, _now_us: int) -> int:
        done = count(connection)
        unsubscribe(connection, name)
        return done

    _intervene(name, REMOVE_SUBSCRIPTIONS, reason, count, step, dry_run=dry_run, as_json=as_json)


@click.command()
@click.argument("name")
@click.option(
    "--since",
    type=MOMENT,
    metavar="MOMENT",
    required=True,
    help="Settled at MOMENT or later: ISO 8601, or 2h for two hours ago.",
)
@REASON
@dry_run_option
@json_option
def backfill(*, name: str, since: datetime, reason: str, dry_run: bool, as_json: bool) -> None:
    """Plan deliveries to destination NAME for events that it was never planned to get.

    Only of the event types that it is subscribed to, and of events whose bodies are retained. The events of a
    conversation that it got meanwhile went before; `sequence` shows it.
    """
    with operators_database() as engine:
        through = transact(engine, newest_entry)
        if not transact(engine, partial(subscribed_types, name=name)):
            _refuse(name)
    _intervene(
        name,
        BACKFILL_DELIVERIES,
        reason,
        lambda connection: count_unplanned(connection, name, since, through),
        lambda connection, now_us: plan_some(connection, name, since, through, now_us),
        dry_run=dry_run,
        as_json=as_json,
    )


@click.command()
@click.argument("name")
@REASON
@dry_run_option
@json_option
def abandon(*, name: str, reason: str, dry_run: bool, as_json: bool) -> None:
    """End all deliveries that wait for destination NAME now, configured or not; they are not sent."""
    with operators_database() as engine:
        through = transact(engine, newest_entry)
    _intervene(
        name,
        ABANDON_DELIVERIES,
        reason,
        lambda connection: count_waiting(connection, name, through),
        lambda connection, now_us: abandon_some(connection, name, through, now_us),
        dry_run=dry_run,
        as_json=as_json,
    )


def _refuse(name: str) -> NoReturn:
    raise ConfigurationError(
        f"{name} has no subscription: start a deliver worker with it in OM_DESTINATIONS first"
    )


def _intervene(
    name: str,
    action: str,
    reason: str,
    count: Callable[[Connection], int],
    step: Callable[[Connection, int], int],
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Carry a decision out in steps, each durable when done, and record it; Ctrl-C stops between two."""
    if not (reason or dry_run):
        raise click.UsageError("--reason is required: it is recorded with your user name.")
    intervention_id, done = None, 0
    with operators_database() as engine:
        chosen = transact(engine, count)
        if chosen and not dry_run:
            intervention_id = secrets.token_hex(8)
            selection = json.dumps({"destination": name})
            record = Intervention(
                intervention_id, action, person(), reason, selection, again=False, chosen=chosen
            )
            done = _carry_out(engine, record, step)
    if as_json:
        print_json({"destination": name, "chosen": chosen, "done": done, "intervention": intervention_id})
    elif intervention_id:
        click.echo(f"{name}: {done} of {chosen} done; recorded as intervention {intervention_id}.")
    else:
        click.echo(f"{name}: {chosen} chosen, nothing changed.")


def _carry_out(engine: Engine, record: Intervention, step: Callable[[Connection, int], int]) -> int:
    clock, done = DatabaseClock(engine), 0

    def work(connection: Connection) -> int:
        some = step(connection, clock.now_us())
        note_progress(connection, record.intervention_id, done + some)
        return some

    transact(engine, lambda connection: begin_intervention(connection, record, clock.now_us()))
    with cancellable() as cancelled:
        while not cancelled.is_set() and (some := transact(engine, work)):
            done += some
    end = partial(end_intervention, intervention_id=record.intervention_id, done=done, now_us=clock.now_us())
    transact(engine, partial(end, is_cancelled=done < record.chosen))
    return done
