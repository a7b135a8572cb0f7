"""Run the open-loop generator and read the latencies that it saw."""

from __future__ import annotations

import subprocess
import sys
from array import array
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.benchmarks.open_loop import FIELDS
from tests.benchmarks.wrk import LoadError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from tests.benchmarks.events import RequestFile

UNANSWERED_SECONDS: Final = 60.0
"""What a request counts that was never answered: worse than every answer."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One request: seconds since the epoch; `answered` is 0 where no answer came."""

    number: int
    due: float
    sent: float
    answered: float
    status: int

    @property
    def latency(self) -> float:
        """Seconds from when it was due to its answer."""
        return self.answered - self.due if self.answered else UNANSWERED_SECONDS


class SteadyLoad:
    """A generator that is running.

    Args:
        process: The generator.
        output: Where it will leave its samples.
        first: The number of its first request in the file.
    """

    def __init__(self, process: subprocess.Popen[bytes], output: Path, first: int) -> None:
        self._process = process
        self._output = output
        self._first = first
        self.pid = process.pid

    @property
    def is_running(self) -> bool:
        """Whether it is still sending."""
        return self._process.poll() is None

    def samples(self) -> list[Sample]:
        """Wait for the end and return every request's sample, in order."""
        if self._process.wait():
            raise LoadError("the open-loop generator failed")
        values = array("d", self._output.read_bytes())
        return [
            Sample(
                self._first + at // FIELDS, values[at], values[at + 1], values[at + 2], int(values[at + 3])
            )
            for at in range(0, len(values), FIELDS)
        ]


@contextmanager
def steady_load(
    port: int, requests: RequestFile, *, rate: float, seconds: float, output: Path, first: int = 0
) -> Iterator[SteadyLoad]:
    """Send `rate` requests a second for `seconds`, starting now.

    Args:
        port: Where the server listens on loopback.
        requests: What to send, from number *first* on.
        output: A file to write.
    """
    count = round(rate * seconds)
    if first + count > requests.count:
        raise LoadError(f"{requests.count} requests are too few for {rate:.0f}/s over {seconds:.0f} s")
    numbers = map(str, (port, requests.path, requests.size, first, count, rate, output))
    process = subprocess.Popen([sys.executable, "-m", "tests.benchmarks.open_loop", *numbers])
    try:
        yield SteadyLoad(process, output, first)
    finally:
        process.kill()
        process.wait()


def percentile_ms(latencies: Iterable[float], percent: float) -> float:
    """Return a percentile of latencies in milliseconds: the smallest that so many do not exceed."""
    ordered: Sequence[float] = sorted(latencies)
    position = max(0, -(-len(ordered) * percent // 100) - 1)
    return ordered[int(position)] * 1e3
