"""Decide what the result of an attempt means for its event and its destination, without side effects."""

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from messaging.clock import delay_before
from workers.deliver.destinations import Destination

FIRST_SECONDS: Final = 1.0
CAP_SECONDS: Final = 300.0
"""With these delays, twelve attempts take about 15 minutes: longer than a restart, shorter than a shift."""

TOO_MANY_REQUESTS: Final = 429
TRANSIENT_STATUSES: Final = frozenset({408, 421, 423, 425, TOO_MANY_REQUESTS})
"""After these statuses, as after any 5xx, another attempt may well succeed."""

MAY_REFUSE_ALL: Final = frozenset({401, 403, 404, 405, 407})
"""A wrong secret or address causes these for every event; a healthy destination may send them for one."""

HOLD_SECONDS: Final = 900.0
"""How long events are held while a destination refuses everything, so that an operator can correct it."""

MAX_HELD_DELAY_SECONDS: Final = 60.0

MAX_REFUSALS: Final = 2
"""An event is given up after this number of counted refusals; the first refusal is not counted. One counted
refusal may be due to two outages of the destination, which accepted other events between them."""

DOWN_CONVERSATIONS: Final = 5
"""If this many conversations in a row get no response, or one that means "away", the destination is down."""

MAX_PAUSE_SECONDS: Final = 60.0
"""Longest backoff between probes of a destination that is down, so that its return is noticed soon."""

REFUSING_CONVERSATIONS: Final = 20
"""If this many conversations in a row get a response that may concern every event, the destination refuses
everything. One that refuses nine of ten events has such a row one time in eight, and is still tried."""

REFUSING_PAUSE_SECONDS: Final = 0.1
"""Delay between two probes of a destination that refuses everything. It responds, so probes are cheap, and
the first event that it accepts ends the hold. If the row was chance, good events wait for a second."""

REFUSING_SECONDS: Final = 30.0
"""A destination that has refused events and accepted none for this long is reported as refusing all."""


class Outcome(StrEnum):
    """How an attempt ended. GONE: the destination wants no events. HELD: it may be refusing every event."""

    DELIVERED = "delivered"
    TRANSIENT = "transient"
    REFUSED = "refused"
    GONE = "gone"
    EXHAUSTED = "exhausted"
    HELD = "held"


@dataclass(frozen=True, slots=True)
class HttpResult:
    """The result of one request: its status, or a code that explains why there is none; never its content."""

    status: int | None
    reason: str
    retry_after: float | None = None
    is_unsendable: bool = False

    @property
    def outcome(self) -> Outcome:
        """The outcome of an attempt without history."""
        status = self.status
        if self.is_unsendable:
            return Outcome.REFUSED
        if status is None or status in TRANSIENT_STATUSES or status >= 500:
            return Outcome.TRANSIENT
        if status == 410:
            return Outcome.GONE
        if status in MAY_REFUSE_ALL:
            return Outcome.HELD
        return Outcome.DELIVERED if 200 <= status < 300 else Outcome.REFUSED

    @property
    def is_away(self) -> bool:
        """Whether the response, or the lack of one, shows that the destination is away."""
        status = self.status
        return not self.is_unsendable and (status is None or status == TOO_MANY_REQUESTS or status >= 500)


@dataclass(frozen=True, slots=True)
class History:
    """The failed attempts at a delivery so far, except those made while the destination was away.

    Args:
        refused_us: When the destination gave a response that may concern every event: the first such one, or
            the latest one after the destination had accepted another event.
    """

    attempts: int = 0
    first_attempt_us: int | None = None
    refused_us: int | None = None


def classify(
    result: HttpResult,
    destination: Destination,
    history: History,
    now_us: int,
    *,
    last_taken_us: int,
    is_probe: bool,
) -> tuple[Outcome, int]:
    """Return how an attempt ended, and how many attempts have failed, including this one.

    The destination last accepted an event at *last_taken_us*. If a probe fails, which is sent while the
    destination is away, the failure does not count.
    """
    outcome, failed = result.outcome, history.attempts + 1
    if outcome is Outcome.HELD:
        if history.refused_us is None:
            # The first such response restarts the count.
            return outcome, 0
        # The refusal counts only if the destination has accepted another event since the previous one.
        if last_taken_us > history.refused_us:
            return (Outcome.REFUSED if failed >= MAX_REFUSALS else outcome), failed
        is_over = (now_us - history.refused_us) / 1_000_000 >= HOLD_SECONDS
        return (Outcome.REFUSED if is_over else outcome), history.attempts
    if outcome in {Outcome.DELIVERED, Outcome.GONE} or (outcome is Outcome.TRANSIENT and is_probe):
        return outcome, history.attempts
    if outcome is Outcome.TRANSIENT:
        failing_seconds = (now_us - (history.first_attempt_us or now_us)) / 1_000_000
        is_over = failed >= destination.attempts or failing_seconds >= destination.give_up
        return (Outcome.EXHAUSTED if is_over else outcome), failed
    return outcome, failed


def retry_delay(attempts: int, requested_seconds: float | None = None) -> float:
    """Return the seconds before the next attempt, never sooner than the destination requested."""
    delay = delay_before(max(attempts, 1) + 1, first_seconds=FIRST_SECONDS, cap_seconds=CAP_SECONDS)
    return max(requested_seconds or 0.0, delay)


def held_delay(refused_seconds: float) -> float:
    """Return the seconds before a held event is retried, given how long it has been refused."""
    return min(max(refused_seconds, 1.0), MAX_HELD_DELAY_SECONDS) * random.uniform(0.5, 1.0)  # noqa: S311  # spreads attempts out, guards nothing


class Breaker:
    """One destination's state as one process sees it. One thread uses it; times are monotonic seconds.

    Processes share no state. Each one detects an outage by itself, at the cost of a few requests, and cannot
    keep the others from a destination that responds to them.
    """

    def __init__(self) -> None:
        self._failing: set[str] = set()
        self._refused: set[str] = set()
        self._refusing_since: float | None = None
        self._probes = 0
        self._paused_until = 0.0

    @property
    def is_down(self) -> bool:
        """Whether the destination is away. Then one event at a time is tried, and failures do not count."""
        return len(self._failing) >= DOWN_CONVERSATIONS

    def is_refusing(self, now: float) -> bool:
        """Return whether the destination has refused events for a while and accepted none."""
        return self._refusing_since is not None and now - self._refusing_since >= REFUSING_SECONDS

    def free_slots(self, now: float, in_flight: int, capacity: int) -> int:
        """Return how many more conversations may be tried now."""
        if now < self._paused_until:
            return 0
        is_probed = self.is_down or len(self._refused) >= REFUSING_CONVERSATIONS
        return max(0, (1 if is_probed else capacity) - in_flight)

    def record(self, result: HttpResult, outcome: Outcome, conversation_id: str, now: float) -> None:
        """Update the destination's state from the result of an attempt."""
        if result.is_away:
            self._record_failure(conversation_id, now, result.retry_after or 0.0)
            return
        self._failing.clear()
        self._probes = 0
        if outcome is Outcome.DELIVERED:
            self._refused.clear()
            self._refusing_since = None
        elif outcome is Outcome.HELD:
            if len(self._refused) < REFUSING_CONVERSATIONS:
                self._refused.add(conversation_id)
            else:
                self._paused_until = max(self._paused_until, now + REFUSING_PAUSE_SECONDS)
            if self._refusing_since is None:
                self._refusing_since = now

    def _record_failure(self, conversation_id: str, now: float, pause: float) -> None:
        if len(self._failing) < DOWN_CONVERSATIONS:
            self._failing.add(conversation_id)
        if self.is_down:
            self._probes += 1
            pause = max(pause, min(retry_delay(self._probes), MAX_PAUSE_SECONDS))
        # All of the destination's events wait for its Retry-After.
        self._paused_until = max(self._paused_until, now + pause)
