"""Decide what happens to an event that could not be processed: retry it later, or give up on it."""

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

FIRST_DELAY_SECONDS: Final = 1.0
DELAY_GROWTH: Final = 4.0
"""Retry delays grow: 1, 4, 16 … seconds. During a delay, a related event can arrive or a lock be released."""

MAX_TOTAL_DELAY_SECONDS: Final = 900.0
"""Maximum sum of a delivery's retry delays. After 30 minutes, the broker would requeue the delivery."""

BROKER_REASONS: Final = frozenset({"delivery_limit", "expired", "maxlen", "rejected"})
"""The reasons for which RabbitMQ itself dead-letters a message."""


class HandlerFailedError(Exception):
    """Process each of the handler's events alone, because the handler failed, perhaps on just one event.

    Args:
        problem: What the handler raised or returned, without an error's text, which might quote an event.
        code: HANDLER_FAILED or TOO_SLOW.
        delay: Seconds after which the handler wants to be called again; None if it requested no delay.
    """

    def __init__(
        self, handler: str, problem: str, *, code: str = HANDLER_FAILED, delay: float | None = None
    ) -> None:
        super().__init__(f"{handler}: {problem}")
        self.code = code
        self.delay = delay


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the processing of a single event failed.

    Args:
        reason: Text for operators; it contains no value from the event.
        delay: Seconds after which the handler wants a retry; None if it requested no delay.
        where: File, line and function that raised the error, for the log.
    """

    code: str
    reason: str
    is_final: bool
    delay: float | None = None
    where: str = ""


POISON: Final = Failure("poison", "event: crashed or hung each worker that processed it alone", is_final=True)


def describe_death(reason: str | None) -> Failure:
    """Return why RabbitMQ itself dead-lettered a message that no worker has recorded.

    Source: RabbitMQ, "Dead Letter Exchanges", x-first-death-reason.
    """
    code = reason if reason in BROKER_REASONS else "unknown"
    return Failure(code, f"broker: dead-lettered for {code}", is_final=True)


def describe_failure(error: Exception) -> Failure:
    """Return the failure for an exception that was raised while an event was processed alone."""
    if isinstance(error, RejectedEventError):
        reason: object = error.reason
        text = reason if isinstance(reason, str) else f"{type(reason).__name__} instead of a string"
        return Failure(error.code, text, is_final=True)
    if isinstance(error, HandlerFailedError):
        return Failure(
            error.code, f"handler {error}", error.code == TOO_SLOW, error.delay, _locate(error.__cause__)
        )
    return Failure(HANDLER_FAILED, f"event: raised {describe(error)}", is_final=False, where=_locate(error))


def choose_delay(failure: Failure, attempt: int, attempts: int) -> float | None:
    """Return how many seconds to wait before a retry; None to give up. The first *attempt* is 1."""
    if failure.is_final or attempt >= attempts:
        return None
    delay = failure.delay
    if not (isinstance(delay, int | float) and abs(delay) < math.inf):
        delay = FIRST_DELAY_SECONDS * DELAY_GROWTH ** (attempt - 1)
    return min(max(delay, 0.0), MAX_TOTAL_DELAY_SECONDS / attempts)


def describe(error: BaseException) -> str:
    """Return an error's type and, for a database error, its code."""
    name = type(error).__name__
    if isinstance(error, StatementRefusedError):
        return f"{name} ({error})"
    return f"{name} ({error_code(error)})" if isinstance(error, DBAPIError) else name


def _locate(error: BaseException | None) -> str:
    """Return an error's file, line and function, without the source line, which might contain a value."""
    frames = traceback.extract_tb(error.__traceback__) if error is not None else None
    if not frames:
        return ""
    last = frames[-1]
    return f"{PurePath(last.filename).name}:{last.lineno} {last.name}"
