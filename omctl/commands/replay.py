"""omctl replay: run past events again, for the recovery from an incident."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import click

from messaging.blocking import republisher
from messaging.clock import SystemClock
from messaging.environment import Environment
from omctl.cancelling import cancellable
from omctl.console import dry_run_option, json_option, print_json, print_table, progress_bar
from omctl.database import database_url, in_words
from omctl.moments import MOMENT
from omctl.pace import Pace, rate_option
from omctl.person import person
from omctl.replaying import Replaying
from workers.tables import (
    OPERATOR_SESSION,
    REPLAY_EVENTS,
    Intervention,
    PastChoice,
    Unfinished,
    begin_intervention,
    count_past_events,
    engine_of,
    newest_event_id,
    transact,
    unfinished_replay,
)

if TYPE_CHECKING:
    from sqlalchemy import Engine

EXAMPLES: Final = """\b
Examples:
  omctl replay --since 2026-05-15T14:00 --until 2026-05-15T15:30 --dry-run
  omctl replay --conversation a1b2c3d4-… --again --reason "the CRM lost it"
  omctl replay --resume 5f0c…
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    reason: str
    rate: float
    again: bool
    yes: bool
    dry_run: bool
    as_json: bool


@click.command(epilog=EXAMPLES)
@click.option(
    "--since",
    type=MOMENT,
    metavar="MOMENT",
    help="Received at MOMENT or later: ISO 8601, or 2h for two hours ago.",
)
@click.option("--until", type=MOMENT, metavar="MOMENT", help="Received before MOMENT.")
@click.option("--conversation", help="Of this conversation.")
@click.option("--type", "event_type", help="Of this event type, whole or its last word.")
@click.option("--again", is_flag=True, help="Have events that took effect already take effect once more.")
@rate_option
@click.option(
    "--reason",
    default="",
    help="Why: goes on record with your user name. Needed but for --dry-run and --resume.",
)
@click.option("--resume", metavar="INTERVENTION", help="Go on with a replay that was cancelled or killed.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@dry_run_option
@json_option
def replay(
    *,
    resume: str | None,
    reason: str,
    rate: float,
    again: bool,
    yes: bool,
    dry_run: bool,
    as_json: bool,
    **choice: Any,
) -> None:
    """Run past events again, out of the bodies that the database keeps.

    Each is published to the events' exchange like a webhook. What took effect before is refused by its key,
    unless --again. Events that come meanwhile are not among them. Ctrl-C stops between two events.

    --resume takes the choice, --again and --reason from the record, so that it goes without them.
    """
    wish = _Wish(reason=reason, rate=rate, again=again, yes=yes, dry_run=dry_run, as_json=as_json)
    if resume:
        _refuse_beside_resume({**choice, "again": again, "reason": reason})
    elif not any(choice.values()):
        raise click.UsageError("Say which: --since, --until, --conversation, --type or --resume.")
    if not (reason or dry_run or resume):
        raise click.UsageError("--reason is needed: it goes on record with your user name.")
    environment = Environment()
    engine = engine_of(database_url(environment), OPERATOR_SESSION)
    try:
        with in_words():
            begun = _resumed(engine, wish, resume) if resume else _begun(engine, wish, PastChoice(**choice))
            if begun is not None:
                _run(engine, environment.strings("OM_AMQP_URL"), wish, *begun)
    finally:
        engine.dispose()


def _refuse_beside_resume(options: dict[str, Any]) -> None:
    given = [f"--{name.removeprefix('event_')}" for name, value in options.items() if value]
    if given:
        raise click.UsageError(f"--resume goes on with what is on record: leave {', '.join(given)} out.")


def _resumed(engine: Engine, wish: _Wish, intervention_id: str) -> tuple[str, Unfinished] | None:
    """Look it up, preview, ask; None where nothing is to be done."""
    found = transact(engine, lambda connection: unfinished_replay(connection, intervention_id, REPLAY_EVENTS))
    if found is None:
        raise click.UsageError(f"No replay {intervention_id} is unfinished.")
    left = f"{found.chosen - found.done} of {found.chosen} events"
    if not wish.as_json:
        click.echo(f"{left} are left{', to take effect once more' if found.again else ''}.")
    if wish.dry_run:
        _tell(wish, None, found.chosen, found.done, is_cancelled=False)
        return None
    if not wish.yes:
        click.confirm(f"{left} will be replayed; go on?", abort=True, err=True)
    return intervention_id, found


def _begun(engine: Engine, wish: _Wish, choice: PastChoice) -> tuple[str, Unfinished] | None:
    """Preview, ask, put on record; None where nothing is to be done."""
    choice = replace(choice, through=transact(engine, newest_event_id))
    counts = transact(engine, lambda connection: count_past_events(connection, choice))
    chosen = sum(counts.values())
    if not wish.as_json:
        rows = [(event_type, str(count)) for event_type, count in counts.items()]
        print_table(("type", "events"), rows, title=f"{chosen} events chosen")
    if wish.dry_run or not chosen:
        _tell(wish, None, chosen, 0, is_cancelled=False)
        return None
    if not wish.yes:
        click.confirm(f"{chosen} events will be replayed; go on?", abort=True, err=True)
    record = Intervention(
        secrets.token_hex(8), REPLAY_EVENTS, person(), wish.reason, choice.as_json(), wish.again, chosen
    )
    transact(engine, lambda connection: begin_intervention(connection, record, SystemClock().now_us()))
    return record.intervention_id, Unfinished(choice, wish.again, chosen, 0, 0)


def _run(engine: Engine, urls: tuple[str, ...], wish: _Wish, intervention_id: str, begun: Unfinished) -> None:
    is_finished = False
    try:
        with (
            cancellable() as cancelled,
            republisher(urls, client_name="omctl replay") as broker,
            progress_bar() as bar,
        ):
            replaying = Replaying(intervention_id, begun, engine, SystemClock(), cancelled)
            task = bar.add_task("Events", total=begun.chosen, completed=begun.done, note="")
            for done in replaying.run(broker, Pace(wish.rate, broker.idle, cancelled)):
                bar.update(task, completed=done)
        is_finished = not replaying.is_cancelled
    finally:
        # A broker or a database that goes away in the middle needs it as much as Ctrl-C does.
        if not is_finished:
            click.echo(f"Go on with: omctl replay --resume {intervention_id}", err=True)
    _tell(wish, intervention_id, begun.chosen, replaying.done, is_cancelled=replaying.is_cancelled)


def _tell(wish: _Wish, intervention_id: str | None, chosen: int, done: int, *, is_cancelled: bool) -> None:
    if wish.as_json:
        print_json(
            {"chosen": chosen, "done": done, "cancelled": is_cancelled, "intervention": intervention_id}
        )
    elif intervention_id:
        click.echo(f"{done} of {chosen} replayed; on record as intervention {intervention_id}.")
    if is_cancelled:
        raise SystemExit(1)
