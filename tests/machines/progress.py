"""Print and record the progress and the result of a suite on machines."""

import time
from collections.abc import Mapping
from typing import Final

from tests.figures.certificate import certificate
from tests.figures.evidence import record

STARTED: Final = certificate(seed="", servers={})
"""The installed commit: others may follow while a suite runs."""


def report(text: str) -> None:
    """Print the step that was just verified, with the time."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def format_counts(name: str, numbers: Mapping[str, int]) -> str:
    """Return one line of named counts."""
    return f"{name}: " + " ".join(f"{key}={number}" for key, number in numbers.items())


def conclude(suite: str, numbers: Mapping[str, int], *, passed: bool) -> bool:
    """Print the last line, record it as the result of the suite, and return whether it passed."""
    last = format_counts(suite, numbers)
    print(last, flush=True)
    record(f"test-{suite}", last, passed=passed, birth=STARTED)
    return passed
