"""Show the verdicts as a table, and write everything as JSON."""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.table import Table

from tests.benchmarks.targets import LAST_LINE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from tests.benchmarks.results import Results
    from tests.benchmarks.targets import Verdict

PARTS: Final = ("flask", "gunicorn", "httptools", "pika", "psycopg", "sqlalchemy", "marshmallow")
COLOURS: Final = {"aim": "green", "reached": "cyan", "missed": "bold red", "not measured": "dim"}


def print_report(console: Console, results: Results, verdicts: Sequence[Verdict]) -> None:
    """Print medians, verdicts, what did not hold, and last the line for scripts."""
    console.print(medians_table(results))
    console.print(_verdicts(verdicts))
    failed = [check.claim for check in results.checks if not check.holds]
    console.print(f"correctness: {len(results.checks) - len(failed)} of {len(results.checks)} checks hold")
    for claim in failed:
        console.print(f"[bold red]does not hold: {claim}")
    values = {verdict.target.name: verdict.value for verdict in verdicts}
    print("bench:", " ".join(f"{name}={_figure(values[name])}" for name in LAST_LINE))


def as_json(results: Results, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Return the run as JSON values: the machine, every verdict, every round."""
    return {
        "machine": _machine(),
        "targets": {
            verdict.target.name: {
                "title": verdict.target.title,
                "must": verdict.target.must,
                "aim": verdict.target.aim,
                "reached": verdict.value,
                "verdict": verdict.word,
            }
            for verdict in verdicts
        },
        **results.as_json(),
    }


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write a run's document."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _verdicts(verdicts: Sequence[Verdict]) -> Table:
    table = Table(title="To reach", title_justify="left")
    for column, justify in (
        ("what", "left"),
        ("must", "right"),
        ("aim", "right"),
        ("reached", "right"),
        ("", "left"),
    ):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    for verdict in verdicts:
        if verdict.value is None:
            continue
        target, colour = verdict.target, COLOURS[verdict.word]
        sign = "≤ " if target.is_ceiling else "≥ "
        marks = [f"{sign}{mark:g}" if mark is not None else "" for mark in (target.must, target.aim)]
        table.add_row(target.title, *marks, _figure(verdict.value), f"[{colour}]{verdict.word}")
    return table


def medians_table(results: Results) -> Table:
    """Return the medians of everything measured."""
    table = Table(title="Measured (medians)", title_justify="left")
    for column in ("scenario", "subject", "figures"):
        table.add_column(column)
    for scenario, subject in dict.fromkeys((row.scenario, row.subject) for row in results.rows):
        names = dict.fromkeys(
            name
            for row in results.rows
            if (row.scenario, row.subject) == (scenario, subject)
            for name in row.values
        )
        figures = (f"{name} {_figure(results.median(scenario, subject, name))}" for name in names)
        table.add_row(scenario, subject, "  ".join(figures))
    return table


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}".replace(",", "") if abs(value) >= 100 else f"{value:.2f}"


def _machine() -> dict[str, Any]:
    """Describe what it ran on, without the machine's name."""
    cpu = [
        line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")
    ]
    return {
        "cpu": cpu[0] if cpu else platform.processor(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "parts": {part: version(part) for part in PARTS},
    }


def _lines(path: str) -> list[str]:
    file = Path(path)
    return file.read_text().splitlines() if file.exists() else []
