"""Let a person stop long work in the middle, between two things and never within one."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from threading import Event
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def cancellable(told: str = "Stopping after this one; what is done is on record.") -> Iterator[Event]:
    """Yield what is set by Ctrl-C or SIGTERM; a second Ctrl-C interrupts at once.

    Args:
        told: What the person reads then.
    """
    cancelled = Event()

    def cancel(number: int, _frame: object) -> None:
        cancelled.set()
        signal.signal(number, former[signal.Signals(number)])
        click.echo(told, err=True)

    former = {number: signal.signal(number, cancel) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield cancelled
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
