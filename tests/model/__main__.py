"""Check all cases of the protocol with Spin, two at a time: `make model`."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from tests.model.cases import DEFECTS, PROTOCOL, WINDOWS
from tests.model.checking import check, is_spin_installed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.model.cases import Case
    from tests.model.checking import Result


def main() -> int:
    """Print every case. Return 1 if the protocol has a counterexample, or if a window or defect has none."""
    if not is_spin_installed():
        print("Spin and gcc are needed: apt-get install spin gcc libc6-dev")
        return 1
    with ThreadPoolExecutor(2) as threads:
        protocol = [threads.submit(check, case, is_expected_to_fail=False) for case in PROTOCOL]
        others = [threads.submit(check, case, is_expected_to_fail=True) for case in (*WINDOWS, *DEFECTS)]
        results = [future.result() for future in (*protocol, *others)]
    for result in results:
        print_result(result)
    line, is_good = judge(results)
    print(line)
    return 0 if is_good else 1


def judge(results: Sequence[Result]) -> tuple[str, bool]:
    """Return the summary of all cases, and whether each case has the expected result."""
    by_name = {result.case.name: result for result in results}

    def count_stories(cases: Sequence[Case]) -> int:
        return sum(bool(by_name[case.name].story) for case in cases)

    states = sum(by_name[case.name].states for case in PROTOCOL)
    found, windows = count_stories(DEFECTS), count_stories(WINDOWS)
    line = f"model: states={states} defects={len(DEFECTS)} counterexamples={found} windows={windows}"
    is_good = found == len(DEFECTS) and windows == len(WINDOWS) and not count_stories(PROTOCOL)
    return line, is_good


def print_result(result: Result) -> None:
    """Print a case, and the story of its counterexample if there is one."""
    outcome = f"fails after {len(result.story) - 1} steps" if result.story else "holds"
    print(f"{result.case.name}: {outcome} ({result.states:,} states)")
    for step in result.story:
        print(f"    {step}")


if __name__ == "__main__":
    sys.exit(main())
