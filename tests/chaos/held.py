"""Compare the senders' measurements with the bounds of a fault."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tests.chaos.waits import Waited, Watched
    from tests.stand.records import Seen

CLOCK_FACTOR: Final = 3.0
CLOCK_SECONDS: Final = 1.0
"""The machine's clock may show this multiple of a bound, and a second more: waiting for a processor is
excused, but not without a limit, or a product that spins would be excused, too."""


def expect_no_longer_stall(seen: Seen, own: Seen, most: float) -> None:
    """Require that the longest stall stays within a bound.

    Args:
        seen: By the machine's clock.
        own: The same tries by the clock that excludes waiting for a processor.
        most: In seconds of the own clock.

    Raises:
        AssertionError: The stall is longer, on either clock.
    """
    _expect("a stall of", (seen.longest_stall, own.longest_stall), most)


def expect_no_higher_p99(seen: Seen, own: Seen, most: float) -> None:
    """Require that the 99th percentile stays within a bound on both clocks."""
    _expect("p99 of", (seen.latency(99), own.latency(99)), most)


def expect_no_longer_wait(watched: Watched, waited: Waited, most: float) -> None:
    """Require that the wait of good events stays within a bound, as above."""
    _expect(f"{watched.name}: a good event waited", (waited.real, waited.own), most)


def expect_none_given_up(seen: Seen) -> None:
    """Require that every event was accepted before the platform's last retry.

    Raises:
        AssertionError: Some events were not accepted.
    """
    assert not seen.given_up, f"{seen.given_up} events were given up"


def _expect(what: str, seconds: tuple[float, float], most: float) -> None:
    real, own = seconds
    assert own <= most, f"{what} {own:.2f} s of its own, more than {most:g}"
    most_by_the_clock = CLOCK_FACTOR * most + CLOCK_SECONDS
    assert real <= most_by_the_clock, f"{what} {real:.2f} s, more than {most_by_the_clock:g}"
