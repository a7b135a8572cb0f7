"""omctl replay: process past events again, out of the database, for the recovery from an incident."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import click

from messaging.admin import republisher
from messaging.envelope import Envelope, replay_source
from messaging.environment import Environment
from omctl.cancelling import cancellable
from omctl.console import dry_run_option, json_option, print_table
from omctl.database import operators_database
from omctl.intervening import Run, Terms, begin, carry_out, report
from omctl.moments import MOMENT
from omctl.pace import Pace, rate_option
from workers.db.engine import transact
from workers.db.interventions import (
    REPLAY_EVENTS,
    PastChoice,
    count_past_events,
    newest_event_id,
    past_events,
    unfinished_replay,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Engine

    from messaging.admin import Republisher
    from workers.db.interventions import PastEvent

MAX_PAGE: Final = 100
"""Events that are read at once. After a kill as many are published again, and refused by their keys."""

EXAMPLES: Final = """\b
Examples:
  omctl replay --since 2026-05-15T14:00 --until 2026-05-15T15:30 --dry-run
  omctl replay --conversation a1b2c3d4-… --again --reason "the CRM lost it"
  omctl replay --resume 5f0c…
"""


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
    terms = Terms(
        reason=reason or resume or "", rate=rate, again=again, yes=yes, dry_run=dry_run, as_json=as_json
    )
    if resume:
        _refuse_beside_resume({**choice, "again": again, "reason": reason})
    elif not any(choice.values()):
        raise click.UsageError("Say which: --since, --until, --conversation, --type or --resume.")
    terms.require_reason()
    with operators_database() as engine:
        if resume:
            _resume(engine, terms, resume)
        else:
            _begin(engine, terms, PastChoice(**choice))


def _refuse_beside_resume(options: dict[str, Any]) -> None:
    given = [f"--{name.removeprefix('event_')}" for name, value in options.items() if value]
    if given:
        raise click.UsageError(f"--resume goes on with what is on record: leave {', '.join(given)} out.")


def _resume(engine: Engine, terms: Terms, intervention_id: str) -> None:
    """Preview, ask, and go on with a replay that was cancelled or killed."""
    found = transact(engine, lambda connection: unfinished_replay(connection, intervention_id, REPLAY_EVENTS))
    if found is None:
        raise click.UsageError(f"No replay {intervention_id} is unfinished.")
    left = f"{found.chosen - found.done} of {found.chosen} events"
    if not terms.as_json:
        click.echo(f"{left} are left{', to take effect once more' if found.again else ''}.")
    if terms.dry_run:
        report(terms, None, found.chosen, "replayed", done=found.done)
        return
    if not terms.yes:
        click.confirm(f"{left} will be replayed; go on?", abort=True, err=True)
    run = Run(intervention_id, found.chosen, found.done, through=found.through)
    _replay(engine, terms, run, found.choice, again=found.again)


def _begin(engine: Engine, terms: Terms, choice: PastChoice) -> None:
    """Preview, ask, record, and replay."""
    choice = replace(choice, through=transact(engine, newest_event_id))
    counts = transact(engine, lambda connection: count_past_events(connection, choice))
    chosen = sum(counts.values())
    if not terms.as_json:
        rows = [(event_type, str(count)) for event_type, count in counts.items()]
        print_table(("type", "events"), rows, title=f"{chosen} events chosen")
    if terms.dry_run or not chosen:
        report(terms, None, chosen, "replayed")
        return
    if not terms.yes:
        click.confirm(f"{chosen} events will be replayed; go on?", abort=True, err=True)
    run = begin(engine, terms, REPLAY_EVENTS, choice.as_json(), chosen)
    _replay(engine, terms, run, choice, again=terms.again)


def _replay(engine: Engine, terms: Terms, run: Run, choice: PastChoice, *, again: bool) -> None:
    urls = Environment().strings("OM_AMQP_URL")
    source = replay_source(run.intervention_id if again else None)
    try:
        with cancellable() as cancelled, republisher(urls, client_name="omctl replay") as broker:
            pages = _pages(engine, choice, run.through or 0, partial(_publish, broker, source))
            carry_out(engine, run, pages, Pace(terms.rate, broker.idle, cancelled), cancelled)
    finally:
        # A broker or a database that goes away in the middle needs it as much as Ctrl-C does.
        if run.is_cancelled:
            click.echo(f"Go on with: omctl replay --resume {run.intervention_id}", err=True)
    report(terms, run, run.chosen, "replayed")


@dataclass(frozen=True, slots=True)
class _Page:
    """Past events, in the order of their ids."""

    events: list[PastEvent]
    publish: Callable[[PastEvent], None]

    @property
    def steps(self) -> list[Callable[[], None]]:
        """Publish each event."""
        return [partial(self.publish, event) for event in self.events]

    def finish(self, done: int) -> int | None:
        """Return the id of the last event that was published."""
        return self.events[done - 1].event_id if done else None


def _pages(
    engine: Engine, choice: PastChoice, through: int, publish: Callable[[PastEvent], None]
) -> Iterator[_Page]:
    read = partial(past_events, choice=choice, most=MAX_PAGE)
    while events := transact(engine, partial(read, after=through)):
        yield _Page(events, publish)
        through = events[-1].event_id


def _publish(broker: Republisher, source: str, event: PastEvent) -> None:
    broker.publish(Envelope(event.message_id, event.received_at_us, event.message_id, source, event.body))
