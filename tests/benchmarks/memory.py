"""Measure the memory of the edge processes and of a worker while they process a million events."""

from __future__ import annotations

import math
import threading
from statistics import fmean
from typing import TYPE_CHECKING, Final, Self

import psutil

from tests.benchmarks.running import whole_service
from tests.benchmarks.wrk import ON_THE_WAY, load

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.benchmarks.rig import Rig

CHUNK_SECONDS: Final = 10.0
SAMPLE_SECONDS: Final = 0.5
DRAIN_SECONDS: Final = 900.0
FLAT_MEGABYTES: Final = 5.0
"""Growth in MB that is not treated as a leak: 7 bytes for each of three quarters of a million events."""


class MemoryWatch:
    """Samples the resident memory of some processes in a thread."""

    def __init__(self, processes: Iterable[psutil.Process]) -> None:
        self.samples: dict[psutil.Process, list[float]] = {process: [] for process in processes}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(SAMPLE_SECONDS):
            for process, samples in self.samples.items():
                samples.append(process.memory_info().rss / 1e6)

    def figures(self) -> dict[str, float]:
        """Return the largest memory use and the largest growth among the processes."""
        series = [samples for samples in self.samples.values() if samples]
        return {"largest_mb": max(map(max, series)), "growth_mb": max(map(growth_of, series))}


def growth_of(samples: Sequence[float]) -> float:
    """Return by how many MB the mean of the last tenth exceeds that of the tenth after the first quarter."""
    tenth = max(1, len(samples) // 10)
    quarter = len(samples) // 4
    return fmean(samples[-tenth:]) - fmean(samples[quarter : quarter + tenth])


def measure_memory(rig: Rig) -> None:
    """Send a million events through the edge and a worker, and record how their memory grows."""
    rig.say("memory: a million events")
    with whole_service(rig) as (server, worker, table):
        edges = MemoryWatch(psutil.Process(server.pid).children())
        with edges, MemoryWatch([psutil.Process(worker)]) as workers:
            answered = send(rig, server.port, rig.plan.many_events)
            rig.results.add("memory", "edge_process", **edges.figures())
            rig.say(f"memory: waiting for {answered} rows")
            rows = table.wait_for(answered, timeout=DRAIN_SECONDS)
    rig.results.check(f"memory: {answered} answered, {rows} rows", holds=answered <= rows)
    rig.results.add("memory", "worker_process", **workers.figures())


def send(rig: Rig, port: int, events: int) -> int:
    """Load a server until it has answered at least *events* distinct requests; return their number."""
    answered, position, seconds = 0, 0, CHUNK_SECONDS
    while answered < events:
        result = load(port, rig.requests, seconds=seconds, first=position)
        rig.results.check(f"{events} events: nothing but 200", holds=result.is_clean)
        answered += result.answered
        position += result.answered + ON_THE_WAY
        seconds = min(CHUNK_SECONDS, math.ceil((events - answered) / result.per_second))
    return answered
