"""omctl destinations resend, remove, backfill, abandon: change which events a destination receives."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from datetime import datetime
from functools import partial
from typing import Any

import click
from sqlalchemy import Connection

from messaging.environment import Environment
from messaging.errors import ConfigurationError
from omctl import interface
from omctl.connections import open_database
from omctl.interface import Command, intervention_options, is_json, recorded_options, since_option
from omctl.interventions import Run, Terms, carry_out
from workers import deliver
from workers.db.engine import DatabaseClock, transact
from workers.db.interventions import Action
from workers.deliver import Destination
from workers.parsing import moment_of

Step = Callable[[Connection, str, int], int]
"""Given an intervention's id and the time in µs, changes some deliveries and returns their number."""
Plan = Callable[[Connection, int], tuple[int, Step]]
"""Given the time in µs, returns the number of deliveries to change and the step that changes some of them."""


@click.command(cls=Command)
@click.argument("name", required=False)
@since_option("Given up")
@click.option("--conversation", help="Of this conversation.")
@intervention_options
def resend(*, name: str | None, since: datetime | None, conversation: str | None, **options: Any) -> None:
    """Resend the refused and given-up events of destination NAME, or of all configured destinations.

    Events keep their Idempotency-Key and, within a conversation, their order. The deliver workers send them.
    Ctrl-C stops after the current batch; run the same command to continue.

    Examples:
      omctl destinations resend crm --since 2h --dry-run
      omctl destinations resend crm --reason "the CRM refused them while its schema was old"
    """
    names = tuple(find_destinations()) if name is None else (find_configured(name).name,)
    terms = Terms(again=True, **options)

    def plan(connection: Connection, now_us: int) -> tuple[int, Step]:
        selected = deliver.choose_dead(names, moment_of(now_us), since, conversation)
        counts = deliver.count_dead(connection, selected)
        if not is_json():
            columns, empty = ("destination", "given up"), "No delivery was given up."
            interface.print_table(columns, counts.items(), empty=empty)
        return sum(counts.values()), lambda db, run_id, now_us: deliver.resend(db, selected, run_id, now_us)

    selection = {"destinations": names, "since": since, "conversation": conversation}
    _intervene(terms, Action.RESEND_DELIVERIES, plan, selection)


@click.command(cls=Command)
@click.argument("name")
@recorded_options
def remove(*, name: str, **options: Any) -> None:
    """Stop planning deliveries for destination NAME.

    First remove it from each host's OM_DESTINATIONS file: a deliver worker that starts with the old file adds
    it again. Events already waiting for it stay; `omctl destinations abandon` ends their deliveries.
    """

    def plan(connection: Connection, _now_us: int) -> tuple[int, Step]:
        return len(deliver.subscribed_types(connection, name)), lambda db, *_: deliver.unsubscribe(db, name)

    _intervene(Terms(**options), Action.REMOVE_SUBSCRIPTIONS, plan, {"destination": name})


@click.command(cls=Command)
@click.argument("name")
@since_option("Settled", required=True)
@recorded_options
def backfill(*, name: str, since: datetime, **options: Any) -> None:
    """Plan deliveries to destination NAME for events that were never planned for it.

    This includes only events of its subscribed types whose bodies are still kept. They arrive after events of
    the same conversation that it has already received; `sequence` shows the right order.
    """

    def plan(connection: Connection, _now_us: int) -> tuple[int, Step]:
        if not deliver.subscribed_types(connection, name):
            text = "has no subscription: start a deliver worker with it in OM_DESTINATIONS first"
            raise ConfigurationError(f"{name} {text}")
        unplanned = deliver.choose_unplanned(name, since, deliver.newest_entry(connection))
        count = deliver.count(connection, unplanned)
        return count, lambda db, _, now_us: deliver.plan_some(db, name, unplanned, now_us)

    _intervene(Terms(**options), Action.BACKFILL_DELIVERIES, plan, {"destination": name})


@click.command(cls=Command)
@click.argument("name")
@recorded_options
def abandon(*, name: str, **options: Any) -> None:
    """End all deliveries waiting for destination NAME, even if it is not configured, without sending any."""

    def plan(connection: Connection, _now_us: int) -> tuple[int, Step]:
        waiting = deliver.choose_waiting(name, deliver.newest_entry(connection))
        count = deliver.count(connection, waiting)
        return count, lambda db, _, now_us: deliver.abandon_some(db, waiting, now_us)

    _intervene(Terms(**options), Action.ABANDON_DELIVERIES, plan, {"destination": name})


def find_destinations() -> dict[str, Destination]:
    """Return the destinations that OM_DESTINATIONS configures, by name."""
    return {destination.name: destination for destination in deliver.configured_destinations(Environment())}


def find_configured(name: str) -> Destination:
    """Return the destination named *name*, which must be in OM_DESTINATIONS."""
    configured = find_destinations()
    if name not in configured:
        names = f"it has {', '.join(configured)}" if configured else "none is configured"
        raise ConfigurationError(f"OM_DESTINATIONS has no destination {name}; {names}")
    return configured[name]


def _intervene(terms: Terms, action: Action, plan: Plan, selection: dict[str, Any]) -> None:
    terms.require_reason()
    facts = {"destination": selection["destination"]} if "destination" in selection else {}
    with open_database() as engine:
        clock = DatabaseClock(engine)
        chosen, step = transact(engine, lambda connection: plan(connection, clock.now_us()))
        run = Run(action, chosen, json.dumps(selection, default=str), "done", facts=facts)
        batch = partial(transact, engine, lambda db: step(db, run.intervention_id, clock.now_us()))
        question = f"{chosen} deliveries will be changed"
        carry_out(engine, terms, run, lambda _: nullcontext(iter(batch, 0)), question=question)
