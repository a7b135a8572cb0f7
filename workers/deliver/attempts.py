"""Send a conversation's leased deliveries one after the other, and report how each attempt ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from messaging.log import logger
from workers.deliver.judgement import Answer, Before, End, judge
from workers.deliver.message import body_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from messaging.clock import Clock
    from workers.deliver.deliveries import Taken
    from workers.deliver.destinations import Destination
    from workers.deliver.transport import Transport

RUN_SECONDS: Final = 1.0
"""After this time a run begins no further event, so that other conversations have their turn."""

MARGIN_SECONDS: Final = 10.0
"""For the lookup of a name, and until the end of the last request is recorded."""

GOES_ON: Final = frozenset({End.DELIVERED, End.PERMANENT, End.EXHAUSTED})
"""After these the conversation's next event has its turn."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt, or the end of a run before it.

    Args:
        destination: The destination.
        taken: The delivery.
        answer: The result; None: it was not sent, its lease is given back.
        end: What that means.
        attempts: How many have failed, with this one.
        at_us: When it ended.
        rest: Outbox ids of this delivery and of those that follow it in the run.
        is_last: Whether the run ends with it.
        took_us: How long it took, in microseconds.
    """

    destination: Destination
    taken: Taken
    answer: Answer | None
    end: End
    attempts: int
    at_us: int
    rest: tuple[int, ...]
    is_last: bool
    took_us: int = 0


@dataclass(frozen=True, slots=True)
class Sending:
    """What a run needs.

    Args:
        transport: The connection to the destination.
        destination: The destination.
        clock: The database's time.
        is_probe: Whether the destination is down, so that failures do not count.
        last_taken_us: Returns when the destination last took an event; 0: not yet.
        is_stopped: Whether no further event is to be begun.
        report: Receives each attempt, and in any case the last.
    """

    transport: Transport
    destination: Destination
    clock: Clock
    is_probe: bool
    last_taken_us: Callable[[], int]
    is_stopped: Callable[[], bool]
    report: Callable[[Attempt], None]


def lease_seconds(destination: Destination) -> float:
    """Return how long a run belongs to the process that took it: one run before it, and itself."""
    return 2 * (RUN_SECONDS + destination.timeout) + MARGIN_SECONDS


def attempt_run(sending: Sending, run: Sequence[Taken]) -> None:
    """Send the deliveries of *run* in their order, until one has to be tried again; report each attempt."""
    destination, clock = sending.destination, sending.clock
    ids = tuple(taken.message.outbox_id for taken in run)
    until = clock.monotonic() + RUN_SECONDS
    for number, taken in enumerate(run):
        last_start_us = taken.lease_us - round((destination.timeout + MARGIN_SECONDS) * 1_000_000)
        is_over = number > 0 and clock.monotonic() > until
        if is_over or sending.is_stopped() or clock.now_us() > last_start_us:
            return_run(sending, run[number:])
            return
        began_us = clock.now_us()
        answer = _send(sending.transport, taken)
        now_us = clock.now_us()
        end = judge(answer, destination, _before(sending, taken, now_us), is_probe=sending.is_probe)
        counts = end not in {End.DELIVERED, End.HELD, End.GONE} and not sending.is_probe
        is_last = number == len(run) - 1 or end not in GOES_ON
        sending.report(
            Attempt(
                destination,
                taken,
                answer,
                end,
                taken.attempts + counts,
                now_us,
                ids[number:],
                is_last,
                now_us - began_us,
            )
        )
        if is_last:
            return


def return_run(sending: Sending, run: Sequence[Taken]) -> None:
    """Give the leases of a run back, of which nothing was sent."""
    ids = tuple(taken.message.outbox_id for taken in run)
    now_us = sending.clock.now_us()
    sending.report(
        Attempt(sending.destination, run[0], None, End.TRANSIENT, run[0].attempts, now_us, ids, is_last=True)
    )


def _before(sending: Sending, taken: Taken, now_us: int) -> Before:
    refused_us = taken.refused_us
    return Before(
        attempts=taken.attempts,
        seconds=(now_us - (taken.first_attempt_us or now_us)) / 1_000_000,
        refused_seconds=(now_us - (refused_us or now_us)) / 1_000_000,
        has_taken_since=refused_us is not None and sending.last_taken_us() > refused_us,
    )


def _send(transport: Transport, taken: Taken) -> Answer:
    if taken.message.is_lost:
        return Answer(None, "payload_gone", is_hopeless=True)
    try:
        return transport.send(taken.message.webhook_id, body_of(taken.message))
    except Exception as error:  # noqa: BLE001  # the outermost of its thread, whose run must have an end
        logger().exception("delivery_not_sent", outbox_id=taken.message.outbox_id)
        return Answer(None, type(error).__name__)
