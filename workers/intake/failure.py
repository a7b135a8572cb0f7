"""Decide what becomes of an event over which processing failed: try it again later, or give it up."""

from __future__ import annotations

import math
import traceback
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

from sqlalchemy.exc import DBAPIError

from messaging.errors import RejectedEventError, StatementRefusedError
from workers.db.engine import error_code

HANDLER_FAILED: Final = "handler_failed"
TOO_SLOW: Final = "too_slow"

FIRST_PAUSE_SECONDS: Final = 1.0
PAUSE_GROWTH: Final = 4.0
"""1, 4, 16 … seconds: time for a neighbouring event to arrive, or for a row to become free."""

MOST_PAUSED_SECONDS: Final = 900.0
"""All pauses of one delivery together. The broker takes a delivery back that was held for 30 minutes."""


class HandlerFailedError(Exception):
    """Try each event of the call apart: one of them is at fault, or the handler.

    Args:
        handler: Its name.
        code: HANDLER_FAILED or TOO_SLOW.
        what: What it raised: a type, never its text, which may quote the event.
        delay: After how many seconds it wants to be called again, if it said so.
    """

    def __init__(
        self, handler: str, what: str, *, code: str = HANDLER_FAILED, delay: float | None = None
    ) -> None:
        super().__init__(f"{handler}: {what}")
        self.handler = handler
        self.what = what
        self.code = code
        self.delay = delay


BROKERS_REASONS: Final = frozenset({"delivery_limit", "expired", "maxlen", "rejected"})
"""Why RabbitMQ dead-letters."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an event that was tried alone was not processed.

    Args:
        code: One stable word.
        reason: For people; names no value.
        is_final: Whether no other try can help.
        delay: After how many seconds another try is asked for.
        where: File, line and function that raised it, for the log.
    """

    code: str
    reason: str
    is_final: bool
    delay: float | None = None
    where: str = ""


HANG: Final = Failure(TOO_SLOW, "event: took too long in a batch, and again alone", is_final=True)
POISON: Final = Failure("poison", "event: ended the workers that tried it alone", is_final=True)


def death_of(reason: str | None) -> Failure:
    """Say why a dead letter died that intake has not recorded itself.

    Args:
        reason: The broker's word, such as delivery_limit or expired; "rejected" if a consumer did it.

    Source: RabbitMQ, "Dead Letter Exchanges", x-first-death-reason.
    """
    code = reason if reason in BROKERS_REASONS else "unknown"
    return Failure(code, f"broker: dead-lettered for {code}", is_final=True)


def failure_of(error: Exception) -> Failure:
    """Say what went wrong over one event that was tried alone."""
    if isinstance(error, RejectedEventError):
        return Failure(error.code, text_of(error.reason), is_final=True)
    if isinstance(error, HandlerFailedError):
        reason = f"handler {error.handler}: {error.what}"
        return Failure(error.code, reason, error.code == TOO_SLOW, error.delay, _where(error.__cause__))
    return Failure(
        HANDLER_FAILED, f"event: {described(error)} was raised over it", False, None, _where(error)
    )


def pause_before_next(failure: Failure, tries: int, attempts: int) -> float | None:
    """Return after how many seconds the event is tried again; None to give it up.

    Args:
        failure: Of the last try.
        tries: How many tries there were before it.
        attempts: How many there may be.
    """
    if failure.is_final or tries + 1 >= attempts:
        return None
    asked = failure.delay
    if not isinstance(asked, int | float) or not math.isfinite(asked):
        asked = FIRST_PAUSE_SECONDS * PAUSE_GROWTH**tries
    return min(max(asked, 0.0), MOST_PAUSED_SECONDS / attempts)


def text_of(reason: object) -> str:
    """Return a handler's reason, or what it is instead of a text."""
    return reason if isinstance(reason, str) else f"no text but {type(reason).__name__}"


def described(error: BaseException) -> str:
    """Return an error's type and, of the database's, its code."""
    name = type(error).__name__
    if isinstance(error, StatementRefusedError):
        return f"{name} ({error})"
    return f"{name} ({error_code(error)})" if isinstance(error, DBAPIError) else name


def _where(error: BaseException | None) -> str:
    """Return where it was raised; no line of code, since it may hold a value."""
    frames = traceback.extract_tb(error.__traceback__) if error is not None else None
    if not frames:
        return ""
    last = frames[-1]
    return f"{PurePath(last.filename).name}:{last.lineno} {last.name}"
