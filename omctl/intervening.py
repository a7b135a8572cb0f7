"""Carry out an operator's decision about many events: recorded, paced, cancellable between two events."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import click

from omctl.console import print_json, progress_bar
from omctl.person import person
from workers.db.engine import DatabaseClock, transact
from workers.db.interventions import Intervention, begin_intervention, end_intervention, note_progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from threading import Event

    from sqlalchemy import Connection, Engine

    from omctl.pace import Pace


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How the command line wants it done.

    Args:
        reason: Why, for the record.
        rate: Events per second; 0 for as fast as possible.
        again: Whether events that took effect are to take effect once more.
        yes: Whether to go on without asking.
        dry_run: Whether to change nothing.
        as_json: Whether a script reads the output.
    """

    reason: str
    rate: float = 0.0
    again: bool = False
    yes: bool
    dry_run: bool
    as_json: bool

    def require_reason(self) -> None:
        """Refuse a change without a reason."""
        if not self.reason and not self.dry_run:
            raise click.UsageError("--reason is needed: it is recorded with your user name.")


class Page(Protocol):
    """Events that are recorded as done together."""

    @property
    def steps(self) -> Sequence[Callable[[], None]]:
        """What to do for each event."""
        ...

    def finish(self, done: int) -> int | None:
        """Settle the first *done* of them; return the id of the last one if they are taken in that order."""
        ...


@dataclass(slots=True)
class Run:
    """One intervention: how far it is.

    Args:
        intervention_id: In the table interventions.
        chosen: How many events were chosen, as far as the records say.
        done: How many are done.
        copies: Further messages of done events that were removed.
        through: The id of the last done, if they are taken in the order of ids.
        is_cancelled: Whether it ended early.
    """

    intervention_id: str
    chosen: int
    done: int = 0
    copies: int = 0
    through: int | None = None
    is_cancelled: bool = True


def begin(engine: Engine, terms: Terms, action: str, selection: str, chosen: int) -> Run:
    """Record that an operator begins."""
    record = Intervention(
        secrets.token_hex(8), action, person(), terms.reason, selection, terms.again, chosen
    )
    now_us = DatabaseClock(engine).now_us()
    transact(engine, lambda connection: begin_intervention(connection, record, now_us))
    return Run(record.intervention_id, chosen)


def carry_out(engine: Engine, run: Run, pages: Iterable[Page], pace: Pace, cancelled: Event) -> None:
    """Do the steps of all pages; record how far it came, also if it fails."""
    clock = DatabaseClock(engine)

    def note(connection: Connection) -> None:
        note_progress(connection, run.intervention_id, run.done, through=run.through)

    def end(connection: Connection) -> None:
        note(connection)
        end_intervention(
            connection, run.intervention_id, run.done, is_cancelled=run.is_cancelled, now_us=clock.now_us()
        )

    with progress_bar() as bar:
        task = bar.add_task("Events", total=run.chosen, completed=run.done, note="")
        try:
            for page in pages:
                done = 0
                for step in page.steps:
                    pace.wait()
                    if cancelled.is_set():
                        break
                    step()
                    done += 1
                    bar.update(task, completed=run.done + done)
                run.through = page.finish(done) or run.through
                run.done += done
                transact(engine, note)
                if cancelled.is_set():
                    return
            run.is_cancelled = cancelled.is_set()
        finally:
            transact(engine, end)


def report(terms: Terms, run: Run | None, chosen: int, verb: str, *, done: int = 0) -> None:
    """Print what was done; exit with 1 if it was cancelled."""
    if terms.as_json:
        came_to = run or Run("", chosen, done, is_cancelled=False)
        print_json(
            {
                "chosen": chosen,
                "done": came_to.done,
                "copies": came_to.copies,
                "cancelled": came_to.is_cancelled,
                "intervention": came_to.intervention_id or None,
            }
        )
    elif run:
        click.echo(f"{run.done} of {chosen} {verb}; recorded as intervention {run.intervention_id}.")
    if run and run.is_cancelled:
        raise SystemExit(1)
