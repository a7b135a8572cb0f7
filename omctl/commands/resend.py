"""omctl destinations resend: send again what a destination did not take."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Final

import click

from messaging.clock import SystemClock
from messaging.environment import Environment
from messaging.errors import ConfigurationError
from omctl.cancelling import cancellable
from omctl.console import dry_run_option, json_option, print_json, print_table, progress_bar
from omctl.database import operators_database
from omctl.moments import MOMENT
from omctl.person import person
from workers.db.engine import transact
from workers.db.interventions import (
    RESEND_DELIVERIES,
    Intervention,
    begin_intervention,
    end_intervention,
    note_progress,
)
from workers.deliver import DeadChoice, configured_destinations, count_dead
from workers.deliver import resend as resend_some
from workers.parsing import moment_of

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection, Engine

EXAMPLES: Final = """\b
Examples:
  omctl destinations resend crm --since 2h --dry-run
  omctl destinations resend crm --reason "the CRM refused them while its schema was old"
"""


@click.command(epilog=EXAMPLES)
@click.argument("name", required=False)
@click.option(
    "--since",
    type=MOMENT,
    metavar="MOMENT",
    help="Given up at MOMENT or later: ISO 8601, or 2h for two hours ago.",
)
@click.option("--conversation", help="Of this conversation.")
@click.option(
    "--reason", default="", help="Why: goes on record with your user name. Needed but for --dry-run."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@dry_run_option
@json_option
def resend(
    *,
    name: str | None,
    since: datetime | None,
    conversation: str | None,
    reason: str,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Send again what destination NAME, or any that is configured, did not take: refused or given up.

    Each keeps its Idempotency-Key, and those of a conversation their order; what went meanwhile went before.
    The deliver processes send them. Ctrl-C stops between two batches; the same command goes on.
    """
    if not (reason or dry_run):
        raise click.UsageError("--reason is needed: it goes on record with your user name.")
    choice = DeadChoice(_names(name), moment_of(SystemClock().now_us()), since, conversation)
    with operators_database() as engine:
        counts = transact(engine, lambda connection: count_dead(connection, choice))
        chosen = sum(counts.values())
        if not as_json:
            rows = [(destination, str(count)) for destination, count in counts.items()]
            print_table(("destination", "given up"), rows, title=f"{chosen} deliveries chosen")
        if dry_run or not chosen:
            _tell(chosen, 0, None, as_json=as_json)
            return
        if not yes:
            click.confirm(f"{chosen} deliveries will be sent again; go on?", abort=True, err=True)
        selection = json.dumps(asdict(choice), default=str)
        record = Intervention(
            secrets.token_hex(8), RESEND_DELIVERIES, person(), reason, selection, again=True, chosen=chosen
        )
        done = _run(engine, choice, record)
    _tell(chosen, done, record.intervention_id, as_json=as_json)


def _names(name: str | None) -> tuple[str, ...]:
    names = tuple(each.name for each in configured_destinations(Environment()))
    if name is None:
        return names
    if name not in names:
        known = ", ".join(names) or "none"
        raise ConfigurationError(f"OM_DESTINATIONS has no destination {name}; it has {known}")
    return (name,)


def _run(engine: Engine, choice: DeadChoice, record: Intervention) -> int:
    """Have them sent again, batch by batch, each durable when it is done; return how many it were."""
    clock, intervention_id, done = SystemClock(), record.intervention_id, 0

    def work(connection: Connection) -> int:
        some = resend_some(connection, choice, intervention_id, clock.now_us())
        note_progress(connection, intervention_id, done + some)
        return some

    transact(engine, lambda connection: begin_intervention(connection, record, clock.now_us()))
    with cancellable() as cancelled, progress_bar() as bar:
        task = bar.add_task("Deliveries", total=record.chosen, note="")
        while not cancelled.is_set() and (some := transact(engine, work)):
            done += some
            bar.update(task, completed=done)
    end = partial(end_intervention, intervention_id=intervention_id, done=done, now_us=clock.now_us())
    transact(engine, partial(end, is_cancelled=done < record.chosen))
    return done


def _tell(chosen: int, done: int, intervention_id: str | None, *, as_json: bool) -> None:
    if as_json:
        print_json({"chosen": chosen, "done": done, "intervention": intervention_id})
    elif intervention_id:
        click.echo(f"{done} of {chosen} wait to be sent again; on record as intervention {intervention_id}.")
    if intervention_id and done < chosen:
        raise SystemExit(1)
