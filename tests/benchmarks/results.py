"""Collect measurements and checks, round by round."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from statistics import median
from typing import Any, NamedTuple


class Figure(NamedTuple):
    """Identifies a value by its scenario ("ingest"), its subject ("service"), and its name with a unit."""

    scenario: str
    subject: str
    name: str


@dataclass(frozen=True, slots=True)
class Check:
    """A condition that must hold for a measurement to be valid, and the round in which it was checked."""

    claim: str
    round: int
    holds: bool


@dataclass(slots=True)
class Results:
    """All values of one run. A figure has one value per round, in order.

    Args:
        round: The number of the current round, from 1. Each check is recorded with this number.
    """

    figures: dict[Figure, list[float]] = field(default_factory=lambda: defaultdict(list))
    checks: list[Check] = field(default_factory=list)
    round: int = 1

    def add(self, scenario: str, subject: str, **values: float) -> None:
        """Record the values of one measurement. Each value's name ends with its unit."""
        for name, value in values.items():
            self.figures[Figure(scenario, subject, name)].append(value)

    def check(self, claim: str, *, holds: bool) -> None:
        """Record whether a condition held."""
        self.checks.append(Check(claim, self.round, holds))

    def rounds(self, figure: Figure) -> list[float]:
        """Return a figure's value in every round; the list is empty if the figure was not measured."""
        return self.figures.get(figure, [])

    def median(self, figure: Figure) -> float | None:
        """Return the median of a figure over all rounds, or None if it was not measured."""
        rounds = self.rounds(figure)
        return median(rounds) if rounds else None

    def ratios(self, above: Figure, below: Figure) -> list[float]:
        """Return the ratio of two figures in each round. A round measures both within seconds."""
        pairs = zip(self.rounds(above), self.rounds(below), strict=False)
        return [a / b for a, b in pairs if b]

    def as_json(self) -> dict[str, Any]:
        """Return every figure as JSON values, by scenario, subject and name."""
        tree: dict[str, Any] = {}
        for (scenario, subject, name), rounds in self.figures.items():
            tree.setdefault(scenario, {}).setdefault(subject, {})[name] = spread_of(rounds)
        return tree


def spread_of(rounds: list[float]) -> dict[str, Any]:
    """Return the median, the lowest, the highest and all values; without rounds, the first three are None."""
    if not rounds:
        return {"value": None, "least": None, "most": None, "rounds": []}
    return {"value": median(rounds), "least": min(rounds), "most": max(rounds), "rounds": rounds}
