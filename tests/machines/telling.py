"""Print progress while machines are struck, and the result."""

import time
from collections.abc import Mapping

from tests.figures.evidence import record


def tell(words: str) -> None:
    """Print what has just been proven, with the time."""
    print(f"{time.strftime('%H:%M:%S')} {words}", flush=True)


def line(name: str, numbers: Mapping[str, int]) -> str:
    """Return a line of numbers with their names."""
    return f"{name}: " + " ".join(f"{key}={number}" for key, number in numbers.items())


def conclude(suite: str, numbers: Mapping[str, int], *, passed: bool) -> bool:
    """Print a journey's last line, record it as the suite's result, and return whether it passed."""
    last = line(suite, numbers)
    print(last, flush=True)
    record(f"test-{suite}", last, passed=passed)
    return passed
