"""Print the medians and verdicts of a run as tables, and write the whole run as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from rich.table import Table

from tests.benchmarks.results import Figure
from tests.benchmarks.targets import LAST_LINE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import Console

    from tests.benchmarks.plan import Plan
    from tests.benchmarks.results import Results
    from tests.benchmarks.targets import Verdict

RATES: Final = (1_000, 10_000, 1_000_000)
CPU_FIGURES: Final = {
    "edge": "ingest service receiver_cpu_us",
    "worker": "intake_postgresql service worker_cpu_us",
    "PostgreSQL": "intake_postgresql service database_cpu_us",
    "RabbitMQ, publish and deliver": "end_to_end service broker_cpu_us",
}
"""For each process, the figure with its CPU time per event, measured at full load."""

COLOURS: Final = {"aim reached": "green", "missed": "bold red"}


def print_report(console: Console, results: Results, verdicts: Sequence[Verdict]) -> None:
    """Print medians, verdicts, failed checks, and a last line for scripts."""
    console.print(_medians(results), _verdicts(verdicts))
    failed = [check for check in results.checks if not check.holds]
    console.print(f"correctness: {correctness(results)}")
    for check in failed:
        console.print(f"[bold red]does not hold in round {check.round}: {check.claim}")
    print(last_line(verdicts))


def correctness(results: Results) -> str:
    """Return a text that states how many checks held. A check counts once per round."""
    return f"{sum(check.holds for check in results.checks)} of {len(results.checks)} checks hold"


def last_line(verdicts: Sequence[Verdict]) -> str:
    """Return one line for scripts, with the main figures by name."""
    values = {verdict.target.name: verdict.value for verdict in verdicts}
    return " ".join(["bench:", *(f"{name}={_short(values[name])}" for name in LAST_LINE)])


def as_json(
    certificate: dict[str, Any], plan: Plan, results: Results, verdicts: Sequence[Verdict]
) -> dict[str, Any]:
    """Return the run as JSON values: the certificate, the plan, and every check, verdict and figure."""
    measured = {verdict.target.name: verdict for verdict in verdicts if verdict.rounds}
    return {
        "certificate": certificate,
        "plan": asdict(plan),
        "line": last_line(verdicts),
        "targets": {name: verdict.as_json() for name, verdict in measured.items()},
        "sizing": sizing(results),
        "figures": results.as_json(),
        "correctness": correctness(results),
        # A condition that is checked in several rounds is listed once for each round.
        "checks": [asdict(check) for check in results.checks],
    }


def sizing(results: Results) -> list[dict[str, Any]]:
    """Return how many cores each process keeps busy at each of the rates in RATES."""
    micros = {name: results.median(Figure(*words.split())) for name, words in CPU_FIGURES.items()}
    return [
        {"process": name, "us": us, **{f"at_{rate}": us * rate / 1e6 for rate in RATES}}
        for name, us in micros.items()
        if us is not None
    ]


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write the document of a run to a JSON file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _verdicts(verdicts: Sequence[Verdict]) -> Table:
    table = Table("what", "must", "aim", "reached", "rounds", "", title="To reach", title_justify="left")
    for verdict in verdicts:
        if verdict.rounds:
            row = verdict.as_json()
            spread = f"{_short(row['least'])} to {_short(row['most'])}"
            word = f"[{COLOURS.get(verdict.word, 'cyan')}]{verdict.word}"
            table.add_row(row["title"], row["must"], row["aim"], _short(row["value"]), spread, word)
    return table


def _medians(results: Results) -> Table:
    table = Table("scenario", "subject", "figures", title="Measured (medians)", title_justify="left")
    for scenario, subjects in results.as_json().items():
        for subject, figures in subjects.items():
            values = (f"{name} {_short(figure['value'])}" for name, figure in figures.items())
            table.add_row(scenario, subject, "  ".join(values))
    return table


def _short(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.2f}"
