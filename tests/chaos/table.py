"""Lay the results out for people, and in one last line for scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.chaos.faults import FAULTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.chaos.run import Result

HEADINGS = (
    "fault",
    "",
    "stand",
    "rounds",
    "answered",
    "processed",
    "dead",
    "lost",
    "repeated",
    "seconds",
    "",
)


def table(results: Sequence[Result]) -> str:
    """Return one line for each fault on each stand."""
    rows = [HEADINGS, *(_row(result) for result in results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def summary(results: Sequence[Result]) -> str:
    """Return the last line."""
    numbers = {result.number for result in results}
    failed = sorted({result.number for result in results if not result.is_good})
    line = (
        f"chaos: faults={len(numbers)} rounds={sum(result.rounds for result in results)}"
        f" answered={sum(result.answered for result in results)}"
        f" lost={sum(result.lost for result in results)}"
        f" repeated={sum(result.repeated for result in results)}"
    )
    return f"{line} failed={','.join(map(str, failed))}" if failed else line


def _row(result: Result) -> tuple[str, ...]:
    counts = (result.rounds, result.answered, result.processed, result.dead_lettered)
    return (
        str(result.number),
        FAULTS[result.number].title,
        result.stand,
        *(f"{count}" for count in (*counts, result.lost, result.repeated)),
        f"{result.seconds:.0f}",
        "good" if result.is_good else f"FAILED {result.failure}",
    )
