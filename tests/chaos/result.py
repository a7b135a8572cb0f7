"""Keep the result of one fault."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.stand.records import Seen

OWN = ("p99_ms", "longest_stall_s")


def own_figures(own: Seen) -> dict[str, float]:
    """Return the tries to compare with bounds: by the clock that excludes the machine's other work."""
    return {f"own_{name}": own.figures()[name] for name in OWN}


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one fault.

    Args:
        number: The fault's number.
        title: The fault's title.
        stand: The kind of stand that the fault struck.
        capacity: The most events a second that this kind of stand has processed in this lane.
        rate: Requests a second that were sent, retries too, on average.
        rounds: Strikes.
        proofs: One proof for each strike that had an effect.
        accepted: Strikes whose recorded steps are a run of the protocol in tests/model.
        seconds: The total duration.
        answered: Distinct events answered 200.
        lost: Events that were answered and are found nowhere.
        repeated: Effects beyond one per event.
        found: The drawn events that `omctl find` describes correctly.
        good_waited_s: The longest that a good event waited beyond its normal time; None if no form says which
            events are good.
        own_good_waited_s: The same without the time in which a part of the stand waited for a processor.
        figures: Of all tries: counts and latencies.
        failure: The first error, in one line; empty if there is none.
        is_broken_off: Whether a check failed before everything had healed, and left the stand as it was then.
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
    found: int = 0
    good_waited_s: float | None = None
    own_good_waited_s: float | None = None
    figures: dict[str, float] = field(default_factory=dict)
    failure: str = ""
    is_broken_off: bool = False

    @property
    def is_good(self) -> bool:
        """Return whether each strike struck, nothing was lost or repeated, and every promise held."""
        is_whole = self.rounds > 0 and len(self.proofs) >= self.rounds and self.answered > 0
        return is_whole and not (self.failure or self.lost or self.repeated)

    @property
    def outcome(self) -> str:
        """Return the text in which a defect's sign is searched."""
        return f"lost={self.lost} repeated={self.repeated} {self.failure}".rstrip()

    def as_row(self) -> dict[str, Any]:
        """Return the row for the JSON file."""
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
        names += ("lost", "repeated", "found", "good_waited_s", "own_good_waited_s", "failure")
        values = {name: getattr(self, name) for name in names}
        times = {"capacity": round(self.capacity), "rate": round(self.rate), "seconds": round(self.seconds)}
        all_figures = Seen([]).figures() | own_figures(Seen([])) | self.figures
        figures = {name.replace("99.9", "999"): value for name, value in all_figures.items()}
        return values | times | {"strikes_proved": len(self.proofs)} | figures
