"""Carry out an operator's decision about many items: recorded, paced, and cancellable between two items."""

import getpass
import os
import secrets
import signal
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event
from typing import Any, Final, Self

import click
from sqlalchemy import Connection, Engine

from omctl.console import print_json, progress_bar
from workers.db.engine import DatabaseClock, transact
from workers.db.interventions import (
    Action,
    Intervention,
    begin_intervention,
    end_intervention,
    record_progress,
)

TICK_SECONDS: Final = 0.2
"""How soon a cancellation is noticed while waiting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How the command line wants an intervention done; `again`: events that took effect do so once more."""

    reason: str
    again: bool = False
    yes: bool = True
    dry_run: bool
    as_json: bool

    @classmethod
    def take(cls, options: dict[str, Any]) -> Self:
        """Take the terms out of a command's options."""
        return cls(**{name: options.pop(name) for name in cls.__dataclass_fields__ if name in options})

    def require_reason(self) -> None:
        """Refuse a change without a reason."""
        if not (self.reason or self.dry_run):
            raise click.UsageError("--reason is required; it is recorded with your user name.")

    def confirm(self, what: str) -> None:
        """Ask the operator to agree to *what*, unless --yes was given."""
        if not self.yes:
            click.confirm(f"{what}; go on?", abort=True, err=True)


@dataclass(slots=True)
class Run:
    """The progress of one intervention; without an id, only a preview. Until it ends, it counts as cancelled.

    Args:
        chosen: The number of items selected.
        copies: Further messages of items that are done, which were removed.
        last_id: The id of the last item done, if they are taken in the order of their ids.
    """

    intervention_id: str
    chosen: int
    done: int = 0
    copies: int = 0
    last_id: int | None = None
    is_cancelled: bool = True


def begin(engine: Engine, terms: Terms, action: Action, selection: str, chosen: int) -> Run:
    """Record that an operator begins an intervention."""
    run = Run(secrets.token_hex(8), chosen)
    record = Intervention(
        run.intervention_id, action, os_user(), terms.reason, selection, terms.again, chosen
    )
    now_us = DatabaseClock(engine).now_us()
    transact(engine, lambda connection: begin_intervention(connection, record, now_us))
    return run


def execute(engine: Engine, run: Run, batches: Iterable[int], cancelled: Event) -> None:
    """Do all batches, until cancelled; record how far it came after each, also if one fails.

    Args:
        engine: Where the intervention is recorded.
        run: Updated after each batch.
        batches: Does one batch at each step; yields the number of items done, each durable.
        cancelled: Checked between two batches; a batch may check it between two items.
    """
    clock = DatabaseClock(engine)

    def record(connection: Connection) -> None:
        record_progress(connection, run.intervention_id, run.done, run.last_id)

    def end(connection: Connection) -> None:
        record(connection)
        end_intervention(
            connection, run.intervention_id, run.done, is_cancelled=run.is_cancelled, now_us=clock.now_us()
        )

    with progress_bar() as bar:
        task = bar.add_task("Events", total=run.chosen, completed=run.done, note="")
        try:
            for done in batches:
                run.done += done
                transact(engine, record)
                bar.update(task, completed=run.done)
                if cancelled.is_set():
                    break
            run.is_cancelled = cancelled.is_set()
        finally:
            transact(engine, end)


def report(terms: Terms, run: Run, verb: str, **context: Any) -> None:
    """Print what was done, or what would be; exit with 1 if it was cancelled."""
    is_cancelled = bool(run.intervention_id) and run.is_cancelled
    if terms.as_json:
        counts = {"chosen": run.chosen, "done": run.done, "copies": run.copies, "cancelled": is_cancelled}
        print_json({**context, **counts, "intervention": run.intervention_id or None})
    elif run.intervention_id:
        click.echo(f"{run.done} of {run.chosen} {verb}; recorded as intervention {run.intervention_id}.")
    else:
        click.echo(f"{run.chosen} would be {verb}." if run.chosen else "Nothing to do: none is selected.")
    if is_cancelled:
        raise SystemExit(1)


@contextmanager
def cancellable(
    notice: str = "Stopping after this one; everything done so far is recorded.",
) -> Iterator[Event]:
    """Yield an event that Ctrl-C or SIGTERM sets, printing *notice*; a second Ctrl-C interrupts at once."""
    cancelled = Event()

    def cancel(number: int, _frame: object) -> None:
        cancelled.set()
        signal.signal(number, former[signal.Signals(number)])
        click.echo(notice, err=True)

    former = {number: signal.signal(number, cancel) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield cancelled
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


class RateLimiter:
    """Waits before each item until its turn; lost time is not made up for by a burst.

    Args:
        rate: Items per second; 0 for no limit.
        idle: Called with the seconds to wait.
        cancelled: Ends the wait.
    """

    def __init__(self, rate: float, idle: Callable[[float], None], cancelled: Event) -> None:
        self._interval = 1.0 / rate if rate else 0.0
        self._idle = idle
        self._cancelled = cancelled
        self._due = time.monotonic()

    def wait(self) -> bool:
        """Return when the next item may be done, or when it is cancelled; return whether to go on."""
        now = time.monotonic()
        self._due = max(self._due, now - TICK_SECONDS)
        while now < self._due and not self._cancelled.is_set():
            self._idle(min(self._due - now, TICK_SECONDS))
            now = time.monotonic()
        self._due += self._interval
        return not self._cancelled.is_set()


def os_user() -> str:
    """Return the operating system's user, the one behind sudo if any, and the host."""
    try:
        user = os.environ.get("SUDO_USER") or getpass.getuser()
    except OSError:
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
