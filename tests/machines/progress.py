"""Print and record the progress and the result of a suite on machines."""

import sys
import time
from collections.abc import Mapping
from typing import Final, NoReturn

from tests.figures.certificate import certificate
from tests.figures.evidence import record
from tests.machines.image import MachineError

STARTED: Final = certificate(seed="", servers={})
"""The certificate of the installed commit, made at the start because commits can be added during the run."""

EVIDENCE: Final = {"pages": "docs-run", "docs-run": "docs-run"}


def report(text: str) -> None:
    """Print the time and the step that was just verified."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def format_counts(name: str, numbers: Mapping[str, int]) -> str:
    """Return a line for scripts, with the name of a suite and its counts."""
    return f"{name}: " + " ".join(f"{key}={number}" for key, number in numbers.items())


def conclude(suite: str, numbers: Mapping[str, int], *, passed: bool, is_whole: bool = True) -> bool:
    """Print the suite's result line, record it if the run was whole, and return whether the suite passed."""
    last = format_counts(suite, numbers)
    print(last, flush=True)
    if is_whole:
        record(EVIDENCE.get(suite, f"test-{suite}"), last, passed=passed, birth=STARTED)
    return passed


def give_up(error: MachineError, suite: str, *selected: str) -> NoReturn:
    """Record that the whole suite stopped because of an error, and exit with the error's message."""
    if not selected:
        record(EVIDENCE.get(suite, f"test-{suite}"), f"{suite}: stopped", passed=False, birth=STARTED)
    sys.exit(str(error))
