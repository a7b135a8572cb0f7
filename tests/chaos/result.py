"""Define the result of running one fault."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.stand.records import Seen

OWN = ("p99_ms", "longest_stall_s")


def own_figures(own: Seen) -> dict[str, float]:
    """Return the figures that are compared with bounds, measured on OwnClock."""
    return {f"own_{name}": own.figures()[name] for name in OWN}


@dataclass(frozen=True, slots=True)
class Result:
    """The result of running one fault.

    Args:
        number: The fault's number.
        title: The fault's title.
        stand: The kind of stand that the fault struck.
        capacity: The most events per second that this kind of stand has processed in this lane.
        rate: The average number of requests sent per second, including retries.
        rounds: The number of strikes.
        proofs: One text for each strike, which proves that the strike had an effect.
        accepted: The number of strikes whose recorded steps the protocol in tests/model allows.
        seconds: The total duration in seconds.
        answered: The number of distinct events answered with 200.
        lost: The number of events that were answered but cannot be found.
        repeated: The number of effects beyond one per event.
        drawn: The number of events drawn at random for `omctl find`.
        found: The number of drawn events that `omctl find` describes correctly.
        good_waited_s: The longest time by which a good event's wait exceeded the normal wait; None if no form
            defines good events.
        own_good_waited_s: The same, excluding time in which a process of the stand waited for a processor.
        figures: Counts and latencies of all tries.
        failure: The first error, in one line; empty if there is none.
        is_broken_off: Whether a check failed before the service had recovered, so the stand might still be
            damaged.
    """

    number: int
    title: str
    stand: str = "postgresql"
    capacity: float = 0.0
    rate: float = 0.0
    rounds: int = 0
    proofs: tuple[str, ...] = ()
    accepted: int = 0
    seconds: float = 0.0
    answered: int = 0
    processed: int = 0
    dead_lettered: int = 0
    lost: int = 0
    repeated: int = 0
    drawn: int = 0
    found: int = 0
    good_waited_s: float | None = None
    own_good_waited_s: float | None = None
    figures: dict[str, float] = field(default_factory=dict)
    failure: str = ""
    is_broken_off: bool = False

    @property
    def is_good(self) -> bool:
        """Whether each strike had an effect, no event was lost or repeated, and every promise was kept."""
        is_whole = self.rounds > 0 and len(self.proofs) >= self.rounds and self.answered > 0
        return is_whole and not (self.failure or self.lost or self.repeated)

    @property
    def outcome(self) -> str:
        """The text that a defect's `shows` pattern must match."""
        return f"lost={self.lost} repeated={self.repeated} {self.failure}".rstrip()

    def as_row(self) -> dict[str, Any]:
        """Return this result as a row of the JSON file."""
        names: tuple[str, ...] = (
            "number",
            "title",
            "stand",
            "rounds",
            "accepted",
            "answered",
            "processed",
            "dead_lettered",
        )
        names += ("lost", "repeated", "drawn", "found", "good_waited_s", "own_good_waited_s", "failure")
        values = {name: getattr(self, name) for name in names}
        times = {"capacity": round(self.capacity), "rate": round(self.rate), "seconds": round(self.seconds)}
        all_figures = Seen([]).figures() | own_figures(Seen([])) | self.figures
        figures = {name.replace("99.9", "999"): value for name, value in all_figures.items()}
        return values | times | {"strikes_proved": len(self.proofs)} | figures
