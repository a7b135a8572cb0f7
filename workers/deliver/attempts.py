"""Send a conversation's leased deliveries one after the other, and say how each attempt ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from messaging.log import logger
from workers.deliver.judgement import Answer, End, judged
from workers.deliver.message import body_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from messaging.clock import Clock
    from workers.deliver.deliveries import Taken
    from workers.deliver.destinations import Destination
    from workers.deliver.transport import Transport

MARGIN_SECONDS: Final = 10.0
"""How long a run may take beside its last request, which two timeouts bound."""

GOES_ON: Final = frozenset({End.DELIVERED, End.PERMANENT, End.EXHAUSTED})
"""After these the conversation's next event has its turn."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt, or the end of a run before it.

    Args:
        destination: For whom.
        taken: What was tried.
        answer: What came of it; None: it was not sent, its lease is given back.
        end: What that means.
        attempts: How many have failed, with this one.
        at_us: When it ended, our clock.
        is_last: Whether the run ends with it.
        took_us: How long it took, in microseconds.
    """

    destination: Destination
    taken: Taken
    answer: Answer | None
    end: End
    attempts: int
    at_us: int
    is_last: bool
    took_us: int = 0


def lease_seconds(destination: Destination) -> float:
    """Return how long a run is left to the process that took it."""
    return 2 * destination.timeout + MARGIN_SECONDS


def attempt_run(
    transport: Transport,
    destination: Destination,
    run: Sequence[Taken],
    *,
    clock: Clock,
    is_probe: bool,
    is_stopped: Callable[[], bool],
    report: Callable[[Attempt], None],
) -> None:
    """Send the deliveries of *run* until one has to be tried again; tell each attempt as it ends.

    Args:
        transport: The way there.
        destination: For whom.
        run: In their order.
        clock: Our time.
        is_probe: Whether the destination is down, so that failures say nothing of the events.
        is_stopped: Whether no further one is to be begun.
        report: Is told each attempt, and in any case the last.
    """
    for number, taken in enumerate(run, 1):
        last_start_us = taken.lease_us - round(2 * destination.timeout * 1_000_000)
        if is_stopped() or clock.now_us() > last_start_us:
            report(
                Attempt(destination, taken, None, End.TRANSIENT, taken.attempts, clock.now_us(), is_last=True)
            )
            return
        began_us = clock.now_us()
        answer = _send(transport, taken)
        now_us = clock.now_us()
        attempts = taken.attempts + (answer.end is not End.DELIVERED and not is_probe)
        seconds = (now_us - (taken.first_attempt_us or now_us)) / 1_000_000
        end = judged(answer, destination, attempts=attempts, seconds=seconds)
        is_last = number == len(run) or end not in GOES_ON
        report(Attempt(destination, taken, answer, end, attempts, now_us, is_last, now_us - began_us))
        if is_last:
            return


def _send(transport: Transport, taken: Taken) -> Answer:
    if taken.message.is_lost:
        return Answer(None, "payload_gone", is_hopeless=True)
    try:
        return transport.send(taken.message.webhook_id, body_of(taken.message))
    except Exception as error:  # noqa: BLE001  # the outermost of its thread: whoever waits for the run must hear
        logger().exception("delivery_not_sent", outbox_id=taken.message.outbox_id)
        return Answer(None, type(error).__name__)
