"""Carry out an operator's decision about many items: record it, limit the rate, allow cancellation."""

import getpass
import os
import secrets
import signal
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from threading import Event
from typing import Any, Final, Self

import click
from sqlalchemy import Engine

from omctl.interface import progress_bar, show_json
from workers.db import interventions as records
from workers.db.engine import DatabaseClock, transact
from workers.parsing import moment_of

TICK_SECONDS: Final = 0.2
"""The interval at which a waiting command checks whether it was cancelled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """An intervention's command-line options. With `again`, events can take effect a second time."""

    reason: str
    again: bool = False
    yes: bool = True
    dry_run: bool

    @classmethod
    def take(cls, options: dict[str, Any]) -> Self:
        """Remove these options from a command's *options*, and return them as Terms."""
        return cls(**{name: options.pop(name) for name in cls.__dataclass_fields__ if name in options})

    def require_reason(self) -> None:
        """Raise a usage error if no reason is given, unless this is a dry run."""
        if not (self.reason or self.dry_run):
            raise click.UsageError("--reason is required; it is recorded with your user name.")


@dataclass(slots=True)
class Run:
    """One intervention and its progress. It gets its id when recorded, and counts as cancelled until done.

    `selection` is JSON without message content. `verb` is a participle, such as "replayed", for the report.
    `copies` counts the removed duplicates of processed messages. `last_id` is the id of the last processed
    item if items are processed in the order of their ids. `facts` are added to the JSON output.
    """

    action: records.Action
    chosen: int
    selection: str
    verb: str = ""
    intervention_id: str = ""
    done: int = 0
    copies: int = 0
    last_id: int | None = None
    is_cancelled: bool = True
    facts: Mapping[str, str] = field(default_factory=dict)

    def begin(self, engine: Engine, terms: Terms) -> None:
        """Record that an operator has begun the intervention, unless that is already recorded."""
        if self.intervention_id:
            return
        self.intervention_id = secrets.token_hex(8)
        values = {
            "intervention_id": self.intervention_id,
            "action": self.action,
            "selection": self.selection,
            "chosen": self.chosen,
            "operator": os_user(),
            "reason": terms.reason,
            "again": terms.again,
            "started_at": moment_of(DatabaseClock(engine).now_us()),
        }
        transact(engine, records.begin_intervention, values)

    def record(self, engine: Engine, **ended: object) -> None:
        """Record the progress and, at the end, the columns in *ended* (outcome and time)."""
        values = {"done": self.done, "through": self.last_id, **ended}
        transact(engine, records.update_intervention, self.intervention_id, values)


def carry_out(
    engine: Engine,
    terms: Terms,
    run: Run,
    work: Callable[[Event], AbstractContextManager[Iterable[int]]],
    *,
    question: str,
    asking: AbstractContextManager[object] | None = None,
    hint: str = "",
) -> None:
    """Ask the operator *question*, record the decision, carry it out and report. A dry run only reports.

    *work* takes the cancellation event; its context manager yields an iterable of batches for `execute`.
    *asking* is active until the operator answers. *hint* explains how to continue after a cancellation.
    """
    if terms.dry_run or not run.chosen:
        run.intervention_id = ""
    else:
        if not terms.yes:
            with asking or nullcontext():
                click.confirm(f"{question}; continue?", abort=True, err=True)
        with cancellable() as cancelled, work(cancelled) as batches:
            run.begin(engine, terms)
            try:
                execute(engine, run, batches, cancelled)
            finally:
                # Show the hint after Ctrl-C as well as after a failure of the broker or the database.
                if run.is_cancelled and hint:
                    click.echo(hint.format(run=run), err=True)
    report(run)


def execute(engine: Engine, run: Run, batches: Iterable[int], cancelled: Event) -> None:
    """Process all batches, or stop when cancelled. Record the progress, even if a batch fails.

    Each step of *batches* makes one batch durable and yields the number of its items. A batch may check
    *cancelled* between two items.
    """
    with progress_bar() as bar:
        task = bar.add_task("Events", total=run.chosen, completed=run.done, note="")
        try:
            for done in batches:
                run.done += done
                run.record(engine)
                bar.update(task, completed=run.done)
                if cancelled.is_set():
                    break
            run.is_cancelled = cancelled.is_set()
        finally:
            outcome = "cancelled" if run.is_cancelled else "done"
            run.record(engine, outcome=outcome, ended_at=moment_of(DatabaseClock(engine).now_us()))


def report(run: Run) -> None:
    """Print what was done or, in a dry run, would be done. Exit with 1 if the intervention was cancelled."""
    is_cancelled = bool(run.intervention_id) and run.is_cancelled
    counts = {"chosen": run.chosen, "done": run.done, "copies": run.copies, "cancelled": is_cancelled}
    if not show_json({**run.facts, **counts, "intervention": run.intervention_id or None}):
        if run.intervention_id:
            text = f"{run.done} of {run.chosen} {run.verb}; recorded as intervention {run.intervention_id}."
        else:
            text = f"{run.chosen} would be {run.verb}." if run.chosen else "Nothing to do: none is selected."
        click.echo(text)
    if is_cancelled:
        raise SystemExit(1)


@contextmanager
def cancellable() -> Iterator[Event]:
    """Yield an event that Ctrl-C or SIGTERM sets. A second Ctrl-C interrupts the command at once."""
    cancelled = Event()

    def cancel(number: int, _frame: object) -> None:
        cancelled.set()
        signal.signal(number, former[signal.Signals(number)])
        click.echo("Stopping after this one; everything done so far is recorded.", err=True)

    former = {number: signal.signal(number, cancel) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield cancelled
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


class RateLimiter:
    """Limits the rate of items, without a burst after a delay. A rate of 0 means no limit."""

    def __init__(self, rate: float, idle: Callable[[float], None], cancelled: Event) -> None:
        self._interval = 1.0 / rate if rate else 0.0
        self._idle = idle
        self._cancelled = cancelled
        self._due = time.monotonic()

    def wait(self) -> bool:
        """Block until the next item is due or the work is cancelled; return False if it was cancelled."""
        now = time.monotonic()
        self._due = max(self._due, now - TICK_SECONDS)
        while now < self._due and not self._cancelled.is_set():
            self._idle(min(self._due - now, TICK_SECONDS))
            now = time.monotonic()
        self._due += self._interval
        return not self._cancelled.is_set()


def os_user() -> str:
    """Return the operator as user@host; under sudo, the user who ran sudo."""
    try:
        user = os.environ.get("SUDO_USER") or getpass.getuser()
    except OSError:
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
