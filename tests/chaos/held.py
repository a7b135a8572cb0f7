"""Compare the senders' measurements with the bounds of a fault."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tests.chaos.waits import Waited, Watched
    from tests.stand.records import Seen

CLOCK_FACTOR: Final = 3.0
CLOCK_SECONDS: Final = 1.0
"""A time on the machine's clock may be up to CLOCK_FACTOR times its bound plus CLOCK_SECONDS. Waiting for a
processor is excused only within this limit. Otherwise, a product that spins would also be excused."""
WAIT_FACTOR: Final = 10.0
"""Used instead of CLOCK_FACTOR for a good event's wait. The event passes through many processes, each of
which can wait for a processor. With two lanes on two cores, events waited for 9 s and 24 s, but for only
0.2 s and 1.3 s on OwnClock."""


def expect_no_longer_stall(seen: Seen, own: Seen, most: float) -> None:
    """Require that the longest stall stays within a bound on both clocks.

    Args:
        seen: The tries, with times on the machine's clock.
        own: The same tries, with times on OwnClock, which excludes waiting for a processor.
        most: The bound, in seconds on OwnClock.

    Raises:
        AssertionError: The stall is longer than permitted on one of the clocks.
    """
    _expect("a stall of", (seen.longest_stall, own.longest_stall), most)


def expect_no_higher_p99(seen: Seen, own: Seen, most: float) -> None:
    """Require that the 99th percentile of latencies stays within a bound on both clocks."""
    _expect("p99 of", (seen.latency(99), own.latency(99)), most)


def expect_no_longer_wait(watched: Watched, waited: Waited, most: float) -> None:
    """Require that the longest wait of a good event stays within a bound on both clocks."""
    _expect(f"{watched.name}: a good event waited", (waited.real, waited.own), most, WAIT_FACTOR)


def expect_none_given_up(seen: Seen) -> None:
    """Require that every event was accepted before the platform's last retry.

    Raises:
        AssertionError: Some events were not accepted.
    """
    assert not seen.given_up, f"{seen.given_up} events were given up"


def _expect(what: str, seconds: tuple[float, float], most: float, factor: float = CLOCK_FACTOR) -> None:
    real, own = seconds
    assert own <= most, f"{what} {own:.2f} s of its own, more than {most:g}"
    most_by_the_clock = factor * most + CLOCK_SECONDS
    assert real <= most_by_the_clock, f"{what} {real:.2f} s, more than {most_by_the_clock:g}"
