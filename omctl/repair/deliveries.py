"""omctl destinations resend, remove, backfill, abandon: change which events a destination gets."""

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Final

import click
from sqlalchemy import Connection

from messaging.environment import Environment
from messaging.errors import ConfigurationError
from omctl.connections import open_database
from omctl.console import print_table
from omctl.interventions import Run, Terms, begin, cancellable, execute, report
from omctl.options import intervention_options, recorded_options, since_option
from workers.db.engine import DatabaseClock, transact
from workers.db.interventions import Action
from workers.deliver import (
    Destination,
    abandon_some,
    choose_dead,
    configured_destinations,
    count_dead,
    count_unplanned,
    count_waiting,
    newest_entry,
    plan_some,
    subscribed_types,
    unsubscribe,
)
from workers.deliver import resend as resend_some
from workers.parsing import moment_of

EXAMPLES: Final = """\b
Examples:
  omctl destinations resend crm --since 2h --dry-run
  omctl destinations resend crm --reason "the CRM refused them while its schema was old"
"""

Step = Callable[[Connection, str, int], int]
"""Changes some deliveries, given an intervention's id and the time in microseconds; returns the number."""
Plan = Callable[[Connection, int], tuple[int, Step]]
"""Returns the number of deliveries to change, and what changes some of them."""


@click.command(epilog=EXAMPLES)
@click.argument("name", required=False)
@since_option("Given up")
@click.option("--conversation", help="Of this conversation.")
@intervention_options
def resend(*, name: str | None, since: datetime | None, conversation: str | None, **options: Any) -> None:
    """Send again what destination NAME, or any configured one, refused or what was given up.

    Each keeps its Idempotency-Key, and those of a conversation their order. The deliver processes send them.
    Ctrl-C stops between two batches; the same command continues.
    """
    names = tuple(find_destinations()) if name is None else (find_configured(name).name,)
    terms = Terms(again=True, **options)

    def plan(connection: Connection, now_us: int) -> tuple[int, Step]:
        selected = choose_dead(names, moment_of(now_us), since, conversation)
        counts = count_dead(connection, selected)
        if not terms.as_json:
            rows = [(destination, str(count)) for destination, count in counts.items()]
            print_table(("destination", "given up"), rows, empty="No delivery was given up.")
        return sum(counts.values()), lambda db, run_id, now_us: resend_some(db, selected, run_id, now_us)

    selection = {"destinations": names, "since": since, "conversation": conversation}
    _intervene(terms, Action.RESEND_DELIVERIES, plan, selection)


@click.command()
@click.argument("name")
@recorded_options
def remove(*, name: str, **options: Any) -> None:
    """Plan no further deliveries for destination NAME.

    First take it out of each host's file: a deliver worker that starts with it subscribes it again. Events
    that already wait for it stay: see omctl destinations abandon.
    """

    def step(connection: Connection, _run_id: str, _now_us: int) -> int:
        done = len(subscribed_types(connection, name))
        unsubscribe(connection, name)
        return done

    def plan(connection: Connection, _now_us: int) -> tuple[int, Step]:
        return len(subscribed_types(connection, name)), step

    _intervene(Terms(**options), Action.REMOVE_SUBSCRIPTIONS, plan, {"destination": name})


@click.command()
@click.argument("name")
@since_option("Settled", required=True)
@recorded_options
def backfill(*, name: str, since: datetime, **options: Any) -> None:
    """Plan deliveries to destination NAME for events that were never planned for it.

    Only of the event types that it is subscribed to, and only events whose bodies are kept. They arrive after
    events of the same conversation that it has already received; `sequence` shows this.
    """

    def plan(connection: Connection, _now_us: int) -> tuple[int, Step]:
        if not subscribed_types(connection, name):
            raise ConfigurationError(
                f"{name} has no subscription: start a deliver worker with it in OM_DESTINATIONS first"
            )
        through = newest_entry(connection)
        count = count_unplanned(connection, name, since, through)
        return count, lambda db, _run_id, now_us: plan_some(db, name, since, through, now_us)

    _intervene(Terms(**options), Action.BACKFILL_DELIVERIES, plan, {"destination": name})


@click.command()
@click.argument("name")
@recorded_options
def abandon(*, name: str, **options: Any) -> None:
    """End all deliveries that wait for destination NAME, configured or not; they are not sent."""

    def plan(connection: Connection, _now_us: int) -> tuple[int, Step]:
        through = newest_entry(connection)
        count = count_waiting(connection, name, through)
        return count, lambda db, _run_id, now_us: abandon_some(db, name, through, now_us)

    _intervene(Terms(**options), Action.ABANDON_DELIVERIES, plan, {"destination": name})


def find_destinations() -> dict[str, Destination]:
    """Return the destinations of OM_DESTINATIONS by their names."""
    return {destination.name: destination for destination in configured_destinations(Environment())}


def find_configured(name: str) -> Destination:
    """Return the destination of that name, which must be in OM_DESTINATIONS."""
    configured = find_destinations()
    if name not in configured:
        names = f"it has {', '.join(configured)}" if configured else "none is configured"
        raise ConfigurationError(f"OM_DESTINATIONS has no destination {name}; {names}")
    return configured[name]


def _intervene(terms: Terms, action: Action, plan: Plan, selection: dict[str, Any]) -> None:
    """Count, ask, execute step by step, each durable when it is done, record, and report."""
    terms.require_reason()
    with open_database() as engine:
        clock = DatabaseClock(engine)
        chosen, step = transact(engine, lambda connection: plan(connection, clock.now_us()))
        run = Run("", chosen)
        if chosen and not terms.dry_run:
            terms.confirm(f"{chosen} deliveries will be changed")
            run = begin(engine, terms, action, json.dumps(selection, default=str), chosen)

            def repeat() -> Iterator[int]:
                while done := transact(engine, lambda db: step(db, run.intervention_id, clock.now_us())):
                    yield done

            with cancellable() as cancelled:
                execute(engine, run, repeat(), cancelled)
    context = {"destination": selection["destination"]} if "destination" in selection else {}
    report(terms, run, "done", **context)
