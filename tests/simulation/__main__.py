"""Run many schedules on two processors, or find every known defect: `make simulate`."""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from typing import TYPE_CHECKING, Final

from tests.figures.evidence import record
from tests.simulation.defects import known_defects, put_in
from tests.simulation.schedule import choose, run, shrink

if TYPE_CHECKING:
    from tests.simulation.defects import Defect

PROCESSES: Final = 2
SLICE: Final = 200
SEEDS: Final = 200_000
DEFECT_SEEDS: Final = 10_000


def main() -> int:
    """Print what was found; fail if a promise was broken, or a defect was not found."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="how many schedules to run")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument(
        "--seed", type=int, help="run this one alone, and tell its story as short as possible"
    )
    parser.add_argument("--defects", action="store_true", help="find every known defect instead")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        return tell(arguments.seed)
    if arguments.defects:
        return find_defects()
    return simulate(arguments.first, arguments.seeds)


def simulate(first: int, seeds: int) -> int:
    """Run schedules; tell the story of each that breaks a promise."""
    began = time.monotonic()
    slices = [range(start, min(start + SLICE, first + seeds)) for start in range(first, first + seeds, SLICE)]
    answered = lost = repeated = 0
    broken: list[int] = []
    with ProcessPoolExecutor(PROCESSES) as processes:
        for counts, seeds_broken in processes.map(run_slice, slices):
            answered, lost, repeated = (
                total + count for total, count in zip((answered, lost, repeated), counts, strict=True)
            )
            broken += seeds_broken
    for seed in broken[:5]:
        tell(seed)
    rate = seeds / (time.monotonic() - began)
    print(f"{answered} events answered 200, {len(broken)} schedules broke a promise, {rate:.0f} a second")
    line = f"simulate: schedules={seeds} lost={lost} repeated={repeated}"
    print(line)
    passed = not (broken or lost or repeated)
    if seeds >= SEEDS:
        record("simulate", line, passed=passed)
    return 0 if passed else 1


def run_slice(seeds: range) -> tuple[tuple[int, int, int], list[int]]:
    """Return how many events were answered, lost and repeated, and the seeds that broke a promise."""
    outcomes = {seed: run(choose(seed)) for seed in seeds}
    broken = [seed for seed, outcome in outcomes.items() if outcome.broken]
    return (
        sum(outcome.answered for outcome in outcomes.values()),
        sum(outcome.lost for outcome in outcomes.values()),
        sum(outcome.repeated for outcome in outcomes.values()),
    ), broken


def tell(seed: int) -> int:
    """Tell what happens with a seed; if it breaks a promise, by the fewest actions that do."""
    schedule = choose(seed)
    if is_broken := bool(run(schedule).broken):
        schedule = shrink(schedule)
    print(f"seed {seed}: {schedule.setting}")
    run(schedule, print)
    return int(is_broken)


def find_defects() -> int:
    """Print the first seed that shows each defect."""
    defects = known_defects()
    count = 0
    with ProcessPoolExecutor(PROCESSES) as processes:
        for defect, (seed, what) in zip(defects, processes.map(find, defects), strict=True):
            print(
                f"{defect.title}: {f'seed {seed}: {what}' if seed is not None else 'NOT FOUND'}", flush=True
            )
            count += seed is not None
    print(f"simulate: defects={len(defects)} found={count} seeds={DEFECT_SEEDS}")
    return 0 if count == len(defects) else 1


def find(defect: Defect | None, seeds: int = DEFECT_SEEDS) -> tuple[int | None, str]:
    """Return the first seed that breaks a promise with a defect, and which."""
    for seed in range(seeds):
        schedule = choose(seed)
        with put_in(defect) if defect else nullcontext():
            outcome = run(schedule)
        if outcome.broken:
            return seed, outcome.broken
    return None, ""


if __name__ == "__main__":
    sys.exit(main())
