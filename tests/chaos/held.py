"""Hold what senders met to the bounds of a fault."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tests.chaos.waits import Waited, Watched
    from tests.stand.records import Seen

CLOCK_FACTOR: Final = 3.0
CLOCK_SECONDS: Final = 1.0
"""The machine's clock may show so many times a bound, and a second more: what waits for a processor is
excused, but not for ever, or a product that spins would be."""


def expect_no_longer_stall(seen: Seen, own: Seen, most: float) -> None:
    """Hold the longest stall to a bound.

    Args:
        seen: By the machine's clock.
        own: The same tries by the clock that stands still for want of a processor.
        most: In seconds of the own clock.

    Raises:
        AssertionError: It is longer, on either clock.
    """
    _expect("a stall of", (seen.longest_stall, own.longest_stall), most)


def expect_no_higher_p99(seen: Seen, own: Seen, most: float) -> None:
    """Hold the 99th percentile to a bound, as above."""
    _expect("p99 of", (seen.latency(99), own.latency(99)), most)


def expect_no_longer_wait(watched: Watched, waited: Waited, most: float) -> None:
    """Hold the wait of good events to a bound, as above."""
    _expect(f"{watched.name}: a good event waited", (waited.real, waited.own), most)


def expect_none_given_up(seen: Seen) -> None:
    """See that every event was taken before the platform's retries came to their end.

    Raises:
        AssertionError: Some were not.
    """
    assert not seen.given_up, f"{seen.given_up} events were given up"


def _expect(what: str, seconds: tuple[float, float], most: float) -> None:
    real, own = seconds
    assert own <= most, f"{what} {own:.2f} s of its own, more than {most:g}"
    most_by_the_clock = CLOCK_FACTOR * most + CLOCK_SECONDS
    assert real <= most_by_the_clock, f"{what} {real:.2f} s, more than {most_by_the_clock:g}"
