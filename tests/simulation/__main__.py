"""Run many schedules of simulated faults in two processes, or find every known defect: `make simulate`."""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from tests.figures.evidence import record
from tests.simulation import schedule
from tests.simulation.behind import schedule as behind_schedule
from tests.simulation.behind.defects import DEFECTS
from tests.simulation.defects import known_defects, put_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.defects import Defect

PROCESSES: Final = 2
SLICE: Final = 200
DEFECT_SEEDS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Subject:
    """The roles of the product that one simulation runs.

    Args:
        suite: The name under which the result of a whole run is recorded.
        choose: Returns the schedule for a seed.
        run: Runs a schedule.
        seeds: The number of schedules in a whole run.
        defects: Returns the known defects.
    """

    suite: str
    choose: Callable[[int], schedule.Schedule]
    run: schedule.Run
    seeds: int
    defects: Callable[[], tuple[Defect, ...]]


SUBJECTS: Final = {
    "edge": Subject("simulate", schedule.choose, schedule.run, 200_000, known_defects),
    "behind": Subject("simulate-behind", behind_schedule.choose, behind_schedule.run, 2_000, lambda: DEFECTS),
}
"""The subjects: the edge (before the queue), and settle and deliver (behind the queue)."""


def main() -> int:
    """Print the results. Return 1 if a promise was broken or a known defect was not found."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("subject", nargs="?", choices=SUBJECTS, default="edge")
    parser.add_argument("--seeds", type=int, help="how many schedules to run")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument(
        "--seed", type=int, help="run this seed alone, and print the steps of its run, shortened if it fails"
    )
    parser.add_argument(
        "--defects", action="store_true", help="put in each known defect, and search for a seed that shows it"
    )
    arguments = parser.parse_args()
    subject = arguments.subject
    if arguments.seed is not None:
        return tell(subject, arguments.seed)
    if arguments.defects:
        return find_defects(subject)
    return simulate(subject, arguments.first, arguments.seeds or SUBJECTS[subject].seeds)


def simulate(subject: str, first: int, seeds: int) -> int:
    """Run *seeds* schedules, starting with seed *first*; print the first five that break a promise."""
    began = time.monotonic()
    slices = [range(start, min(start + SLICE, first + seeds)) for start in range(first, first + seeds, SLICE)]
    answered = lost = repeated = 0
    broken: list[int] = []
    # A run leaves few reference cycles, so the garbage collector needs to run only rarely.
    with ProcessPoolExecutor(PROCESSES, initializer=gc.set_threshold, initargs=(20_000,)) as processes:
        for counts, seeds_broken in processes.map(partial(run_slice, subject), slices):
            answered, lost, repeated = (
                total + count for total, count in zip((answered, lost, repeated), counts, strict=True)
            )
            broken += seeds_broken
    for seed in broken[:5]:
        tell(subject, seed)
    rate = seeds / (time.monotonic() - began)
    print(f"{answered} events, {len(broken)} schedules broke a promise, {rate:.0f} a second")
    line = f"simulate: schedules={seeds} lost={lost} repeated={repeated}"
    print(line)
    passed = not (broken or lost or repeated)
    if seeds >= SUBJECTS[subject].seeds:
        record(SUBJECTS[subject].suite, line, passed=passed)
    return 0 if passed else 1


def run_slice(subject: str, seeds: range) -> tuple[tuple[int, int, int], list[int]]:
    """Run the seeds' schedules; count answered, lost and repeated events; list seeds that break a promise."""
    how = SUBJECTS[subject]
    outcomes = {seed: how.run(how.choose(seed), None) for seed in seeds}
    broken = [seed for seed, outcome in outcomes.items() if outcome.broken]
    return (
        sum(outcome.answered for outcome in outcomes.values()),
        sum(outcome.lost for outcome in outcomes.values()),
        sum(outcome.repeated for outcome in outcomes.values()),
    ), broken


def tell(subject: str, seed: int) -> int:
    """Print the steps of a seed's run. If it breaks a promise, first remove unnecessary actions."""
    how = SUBJECTS[subject]
    chosen = how.choose(seed)
    if is_broken := bool(how.run(chosen, None).broken):
        chosen = schedule.shrink(chosen, how.run)
    print(f"seed {seed}: {chosen.setting}")
    how.run(chosen, print)
    return int(is_broken)


def find_defects(subject: str) -> int:
    """For each known defect, print the first seed whose run shows it."""
    defects = SUBJECTS[subject].defects()
    count = 0
    with ProcessPoolExecutor(PROCESSES) as processes:
        found = processes.map(partial(find, subject), defects)
        for defect, (seed, what) in zip(defects, found, strict=True):
            print(
                f"{defect.title}: {f'seed {seed}: {what}' if seed is not None else 'NOT FOUND'}", flush=True
            )
            count += seed is not None
    print(f"simulate: defects={len(defects)} found={count} seeds={DEFECT_SEEDS}")
    return 0 if count == len(defects) else 1


def find(subject: str, defect: Defect | None, seeds: int = DEFECT_SEEDS) -> tuple[int | None, str]:
    """Return the first seed whose run with this defect breaks a promise, and describe that promise."""
    how = SUBJECTS[subject]
    for seed in range(seeds):
        chosen = how.choose(seed)
        with put_in(defect) if defect else nullcontext():
            outcome = how.run(chosen, None)
        if outcome.broken:
            return seed, outcome.broken
    return None, ""


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The iteration order of a set of strings depends on this variable, and the run depends on that order.
        again = [sys.executable, "-m", "tests.simulation", *sys.argv[1:]]
        os.execve(sys.executable, again, os.environ | {"PYTHONHASHSEED": "0"})  # noqa: S606  # no shell
    sys.exit(main())
