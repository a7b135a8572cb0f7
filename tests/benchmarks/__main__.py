"""Run the benchmarks: `python -m tests.benchmarks [--quick]`. Exit with 1 if a required value is missed."""

from __future__ import annotations

import secrets
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console

from tests.benchmarks.backlog import measure_backlog
from tests.benchmarks.beside import measure_beside, measure_retain
from tests.benchmarks.chart import draw_chart
from tests.benchmarks.deliver import measure_deliver, measure_delivery_delay, measure_one_conversation
from tests.benchmarks.end_to_end import measure_commit_delay, measure_end_to_end
from tests.benchmarks.growth import measure_growth
from tests.benchmarks.ingest import measure_choices, measure_ingest
from tests.benchmarks.intake import measure_intake
from tests.benchmarks.latency import measure_half_load, measure_without_broker
from tests.benchmarks.memory import measure_memory
from tests.benchmarks.plan import FULL, QUICK
from tests.benchmarks.refusals import measure_refusals
from tests.benchmarks.report import as_json, last_line, print_report, write_json
from tests.benchmarks.rig import end_cleanly, running_rig
from tests.benchmarks.targets import judge
from tests.benchmarks.whole_way import measure_whole_way
from tests.benchmarks.wrk import LoadError
from tests.figures.evidence import record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.benchmarks.rig import Rig

IN_TURN: Final[dict[str, tuple[Callable[[Rig], None], ...]]] = {
    "throughput": (measure_ingest, measure_end_to_end),
    "half-load": (measure_half_load,),
    "intake": (measure_intake,),
    "without-broker": (measure_without_broker,),
    "commit-delay": (measure_commit_delay,),
    "whole-way": (measure_whole_way,),
    "deliver": (measure_deliver, measure_delivery_delay),
    "beside": (measure_beside,),
    "choices": (measure_choices,),
}
"""Scenarios that measure their subjects in turn in each round, so that a slow minute affects all of them."""

ONCE: Final[dict[str, Callable[[Rig], None]]] = {
    "growth": measure_growth,
    "one-conversation": measure_one_conversation,
    "refusals": measure_refusals,
    "retain": measure_retain,
    "backlog": measure_backlog,
    "memory": measure_memory,
}
"""Scenarios that take minutes and are therefore measured only once."""

REPORT_WIDTH: Final = 130
"""The width of the report in columns, on a terminal and in a log. The longest titles fit."""

SCENARIOS: Final = (*IN_TURN, *ONCE)
FULL_SCENARIOS: Final = tuple(name for name in SCENARIOS if name != "choices")
QUICK_SCENARIOS: Final = ("throughput", "half-load", "intake")
WHOLE: Final = f"of at least {FULL.rounds} rounds, with {', '.join(map(str, FULL.table_rows))} rows"
"""Describes the runs whose figures may be written to a file. Figures from a partial run cannot be compared
with those of other runs, and a median of two rounds is not reliable."""

NEEDED: Final = {"without-broker": "half-load", "backlog": "throughput"}
"""Maps a scenario to the scenario with which it is compared. The latter is measured first, even if it was not
requested."""


@click.command()
@click.option("--quick", is_flag=True, help="Short rounds of the main ratios: under three minutes.")
@click.option(
    "--only",
    "names",
    multiple=True,
    type=click.Choice(SCENARIOS),
    help="Measure these only; no file is written.",
)
@click.option("--rounds", type=int, help="How often each is measured; with fewer no file is written.")
@click.option("--rows", multiple=True, type=int, help="Rows of growth's larger tables; with fewer likewise.")
@click.option("--seed", default=lambda: secrets.token_hex(4), help="What the events are drawn from.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Where to write every round.")
@click.option("--chart", "chart_path", type=click.Path(path_type=Path), help="Where to draw the chart (PNG).")
def main(
    *,
    quick: bool,
    names: tuple[str, ...],
    rounds: int | None,
    rows: tuple[int, ...],
    seed: str,
    json_path: Path | None,
    chart_path: Path | None,
) -> None:
    """Measure the service against its alternatives in one run."""
    plan = QUICK if quick else FULL
    plan = replace(plan, rounds=rounds or plan.rounds, table_rows=rows or plan.table_rows)
    if (json_path or chart_path) and (names or not plan.is_whole):
        click.echo(f"No file is written: pages quote whole runs, {WHOLE}.", err=True)
        json_path = chart_path = None
    started = time.monotonic()
    with (
        # Use a directory on a disk, as the journal and the databases do in production. /tmp can be in memory.
        tempfile.TemporaryDirectory(prefix="bench-", dir="/var/tmp") as directory,
        running_rig(plan, Path(directory), seed) as rig,
    ):
        for name in planned(names or (QUICK_SCENARIOS if quick else FULL_SCENARIOS)):
            try_to_measure(rig, name)
            document = as_json(rig.certificate, plan, rig.results, judge(rig.results))
            if json_path:
                # Write the figures after each scenario: runs are long, and a later scenario might fail.
                write_json(json_path, document)
    rig.say(f"all measured in {time.monotonic() - started:.0f} s, seed {seed}")
    verdicts = judge(rig.results)
    passed = not any(verdict.is_missed for verdict in verdicts) and all(
        check.holds for check in rig.results.checks
    )
    if json_path:
        record("bench", last_line(verdicts), passed=passed, birth=rig.certificate)
    if chart_path:
        draw_chart(document, chart_path)
    print_report(Console(width=REPORT_WIDTH), rig.results, verdicts)
    if not passed:
        raise SystemExit(1)


def planned(names: Sequence[str]) -> list[str]:
    """Return the scenarios to measure, in order: *names* and those with which they are compared."""
    wanted = {*names, *(NEEDED[name] for name in names if name in NEEDED)}
    return [name for name in SCENARIOS if name in wanted]


def try_to_measure(rig: Rig, name: str) -> None:
    """Measure one scenario. If that fails, record the failure, so that the run fails at the end."""
    began = time.monotonic()
    try:
        measure(rig, name)
    except (LoadError, TimeoutError, AssertionError) as error:
        rig.results.check(f"{name}: {error}", holds=False)
    rig.say(f"{name}: measured in {time.monotonic() - began:.0f} s")


def measure(rig: Rig, name: str) -> None:
    """Measure one scenario in the planned number of rounds, or once if it belongs to ONCE."""
    rig.results.round = 1
    if name in ONCE:
        ONCE[name](rig)
        return
    for number in range(1, rig.plan.rounds + 1):
        rig.results.round = number
        for part in IN_TURN[name]:
            part(rig)


if __name__ == "__main__":
    end_cleanly()
    main()
