"""Collect what was measured and what was checked, round by round."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement of one subject in one round.

    Args:
        scenario: What was done, such as "ingest".
        subject: To what, such as "service".
        values: Figures by name; the name ends with its unit.
    """

    scenario: str
    subject: str
    values: dict[str, float]


@dataclass(frozen=True, slots=True)
class Check:
    """Something that must hold for a measurement to count."""

    claim: str
    holds: bool


@dataclass(slots=True)
class Results:
    """Everything of one run."""

    rows: list[Row] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)

    def add(self, scenario: str, subject: str, **values: float) -> None:
        """Note one measurement."""
        self.rows.append(Row(scenario, subject, values))

    def check(self, claim: str, *, holds: bool) -> None:
        """Note whether a claim held."""
        self.checks.append(Check(claim, holds))

    def series(self, scenario: str, subject: str, name: str) -> list[float]:
        """Return a figure of every round, in order."""
        return [
            row.values[name]
            for row in self.rows
            if (row.scenario, row.subject) == (scenario, subject) and name in row.values
        ]

    def median(self, scenario: str, subject: str, name: str) -> float | None:
        """Return the median over the rounds; None where it was not measured."""
        series = self.series(scenario, subject, name)
        return median(series) if series else None

    def ratio(self, above: tuple[str, str, str], below: tuple[str, str, str]) -> float | None:
        """Return the median of the rounds' ratios: both sides of each were measured within seconds."""
        pairs = list(zip(self.series(*above), self.series(*below), strict=False))
        return median(a / b for a, b in pairs if b) if pairs else None

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "rows": [asdict(row) for row in self.rows],
            "checks": [asdict(check) for check in self.checks],
        }
