"""Decide what the result of an attempt means for its event and its destination, without side effects."""

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from messaging.clock import delay_before
from workers.deliver.destinations import Destination

FIRST_SECONDS: Final = 1.0
CAP_SECONDS: Final = 300.0
"""With these delays, twelve attempts take 5 to 18 minutes: longer than a restart, shorter than a shift."""

TOO_MANY_REQUESTS: Final = 429
TRANSIENT_STATUSES: Final = frozenset({408, 421, 423, 425, TOO_MANY_REQUESTS})
"""Statuses after which another attempt can succeed, as after any 5xx status."""

MAY_REFUSE_ALL: Final = frozenset({401, 403, 404, 405, 407})
"""Statuses that a destination returns for every event if a secret or an address is wrong."""

HOLD_SECONDS: Final = 900.0
"""How long events are held while a destination refuses them all, so that an operator can fix the cause."""

MAX_HELD_DELAY_SECONDS: Final = 60.0

MAX_REFUSALS: Final = 2
"""Give up on an event after this number of counted refusals; the first refusal is not counted. A single
counted refusal might not be the event's fault: the destination might have recovered between two outages."""

DOWN_CONVERSATIONS: Final = 5
"""A destination is down once requests for this many conversations found it away and none reached it."""

MAX_PAUSE_SECONDS: Final = 60.0
"""Longest pause between two probes of a destination that is down, so that its recovery is detected soon."""

REFUSING_SECONDS: Final = 30.0
"""A destination that refuses events and accepts none for this long counts as refusing everything. The number
of refusals would not show this: each bad event is refused three times, so refusals can be frequent."""

REFUSING_PAUSE_SECONDS: Final = 0.1
"""Delay between two probes of a destination that refuses everything. Probes are cheap, because the
destination responds. As soon as it accepts an event, events are no longer held."""


class Outcome(StrEnum):
    """An attempt's outcome. GONE: the destination wants no more events. HELD: it might refuse all events."""

    DELIVERED = "delivered"
    TRANSIENT = "transient"
    REFUSED = "refused"
    GONE = "gone"
    EXHAUSTED = "exhausted"
    HELD = "held"


@dataclass(frozen=True, slots=True)
class HttpResult:
    """The result of a request: the response's status, or a code that explains why there is none."""

    status: int | None
    reason: str
    retry_after: float | None = None
    is_unsendable: bool = False

    @property
    def outcome(self) -> Outcome:
        """The outcome of this attempt, regardless of earlier attempts."""
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
        """Whether the status, or the lack of a response, shows that the destination is away."""
        status = self.status
        return not self.is_unsendable and (status is None or status == TOO_MANY_REQUESTS or status >= 500)


@dataclass(frozen=True, slots=True)
class FailedAttempts:
    """The failed attempts at a delivery so far, except those made while the destination was down."""

    attempts: int = 0
    first_attempt_us: int | None = None
    # Time of the first HELD response or, if later refusals were counted, of the last counted refusal.
    refused_us: int | None = None


def classify(
    result: HttpResult,
    destination: Destination,
    history: FailedAttempts,
    now_us: int,
    *,
    last_taken_us: int,
    is_probe: bool,
) -> tuple[Outcome, int]:
    """Return an attempt's outcome, and the number of failed attempts that count so far.

    The destination last accepted an event at *last_taken_us*. A probe is an attempt made while the
    destination is down; a probe's failure does not count.
    """
    outcome, failed = result.outcome, history.attempts + 1
    if outcome is Outcome.HELD:
        if history.refused_us is None:
            # The first HELD response resets the count of failed attempts.
            return outcome, 0
        # A refusal counts only if the destination has accepted another event since the previous refusal.
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
    """Return how many seconds to wait before the next attempt; at least as many as requested."""
    delay = delay_before(max(attempts, 1) + 1, first_seconds=FIRST_SECONDS, cap_seconds=CAP_SECONDS)
    return max(requested_seconds or 0.0, delay)


def held_delay(refused_seconds: float) -> float:
    """Return how many seconds to wait before retrying an event refused for *refused_seconds* so far."""
    return min(max(refused_seconds, 1.0), MAX_HELD_DELAY_SECONDS) * random.uniform(0.5, 1.0)  # noqa: S311  # spreads attempts out, guards nothing


class Breaker:
    """A destination's state, as seen by one process. Only one thread may use it. Times are monotonic seconds.

    Processes do not share this state: each detects an outage on its own, at the cost of a few requests, and
    does not stop other processes from sending to a destination that they can reach.
    """

    def __init__(self) -> None:
        self._failing: set[str] = set()
        self._refusing_since: float | None = None
        self._probes = 0
        self._paused_until = 0.0

    @property
    def is_down(self) -> bool:
        """Whether the destination is down. If so, one event at a time is sent, and failures do not count."""
        return len(self._failing) >= DOWN_CONVERSATIONS

    def is_refusing(self, now: float) -> bool:
        """Return whether the destination has refused events, and accepted none, for REFUSING_SECONDS."""
        return self._refusing_since is not None and now - self._refusing_since >= REFUSING_SECONDS

    def free_slots(self, now: float, in_flight: int, capacity: int) -> int:
        """Return how many more conversations may be leased now if *in_flight* conversations already are."""
        if now < self._paused_until:
            return 0
        is_probed = self.is_down or self.is_refusing(now)
        return max(0, (1 if is_probed else capacity) - in_flight)

    def record(self, result: HttpResult, outcome: Outcome, conversation_id: str, now: float) -> None:
        """Update the destination's state from the result of an attempt."""
        if result.is_away:
            pause = result.retry_after or 0.0
            if len(self._failing) < DOWN_CONVERSATIONS:
                self._failing.add(conversation_id)
            if self.is_down:
                self._probes += 1
                pause = max(pause, min(retry_delay(self._probes), MAX_PAUSE_SECONDS))
            # A Retry-After applies to all events of the destination.
            self._paused_until = max(self._paused_until, now + pause)
            return
        self._failing.clear()
        self._probes = 0
        if outcome is Outcome.DELIVERED:
            self._refusing_since = None
        elif outcome is Outcome.HELD:
            if self._refusing_since is None:
                self._refusing_since = now
            if self.is_refusing(now):
                self._paused_until = max(self._paused_until, now + REFUSING_PAUSE_SECONDS)
