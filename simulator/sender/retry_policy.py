"""Decide whether and when the platform would send a body again."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how soon.

    The defaults are the documented ones; with them a sender gives up after 25 s of fast failures, or 85 s of
    timeouts. Whether the platform honours Retry-After is nowhere documented, so by default it does not.

    Source: developer.genesys.cloud, Open Messaging, "Validate webhook notifications".
    """

    retries: int = 5
    delay: float = 5.0
    timeout: float = 10.0
    honours_retry_after: bool = False


def retry_delay(
    policy: RetryPolicy, *, attempt: int, status: int | None, retry_after: float | None
) -> float | None:
    """Return the seconds to wait before the next attempt, or None where this was the last.

    Args:
        policy: How often and how soon.
        attempt: How many times the body has been sent, this time included.
        status: The HTTP status, None where there was no answer. That a refused or broken connection is
            retried like a timeout is an assumption: the platform's documents do not say.
        retry_after: The answer's Retry-After in seconds, if it had one.
    """
    if not is_retryable(status) or attempt > policy.retries:
        return None
    if policy.honours_retry_after and retry_after is not None:
        return retry_after
    return policy.delay


def is_retryable(status: int | None) -> bool:
    """Tell whether the platform sends again after *status*: no answer, 429, 5xx."""
    return status is None or status == 429 or status >= 500


def retry_after_seconds(header: str | None) -> float | None:
    """Return the seconds that a Retry-After header names; its date form counts as none."""
    return float(header) if header is not None and header.isascii() and header.isdigit() else None
