"""Watch the memory of an edge process and of a worker while a million events pass."""

from __future__ import annotations

import threading
from statistics import fmean
from typing import TYPE_CHECKING, Final, Self

from tests.benchmarks.accounting import children, resident_megabytes
from tests.benchmarks.event_table import event_table
from tests.benchmarks.servers import edge, intake, migrate
from tests.benchmarks.wrk import CONNECTIONS, load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.benchmarks.event_table import EventTable
    from tests.benchmarks.rig import Rig

SCENARIO: Final = "memory"
EDGE: Final = "edge process"
WORKER: Final = "worker process"
CHUNK_SECONDS: Final = 10.0
SAMPLE_SECONDS: Final = 0.5
DRAIN_SECONDS: Final = 900.0
FLAT_MEGABYTES: Final = 5.0
"""Less growth than this over three quarters of a million events is no leak: 7 bytes an event."""


class MemoryWatch:
    """Samples of the resident memory of some processes, in a thread of its own.

    Args:
        pids: The processes.
    """

    def __init__(self, pids: Sequence[int]) -> None:
        self.samples: dict[int, list[float]] = {pid: [] for pid in pids}
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
            for pid, samples in self.samples.items():
                samples.append(resident_megabytes(pid))


def growth_of(samples: Sequence[float]) -> float:
    """Return how much the last tenth lies above the tenth after the first quarter, in MB."""
    tenth = max(1, len(samples) // 10)
    quarter = len(samples) // 4
    return fmean(samples[-tenth:]) - fmean(samples[quarter : quarter + tenth])


def measure_memory(rig: Rig) -> None:
    """Send a million events through the edge and the worker."""
    rig.say("memory: a million events")
    url = rig.fresh_database()
    migrate(url)
    with (
        edge(rig.broker, rig.fresh()) as server,
        intake(rig.broker, url, rig.fresh()) as worker,
        event_table(url) as table,
        MemoryWatch(children(server.pid)) as edges,
        MemoryWatch([worker]) as workers,
    ):
        answered = send(rig, server.port, rig.plan.many_events)
        _note(rig, EDGE, edges)
        _drain(rig, table, answered)
        _note(rig, WORKER, workers)


def send(rig: Rig, port: int, events: int, first: int = 0) -> int:
    """Load a server until at least so many distinct requests were answered; return how many were."""
    answered, position = 0, first
    while answered < events:
        result = load(port, rig.requests, seconds=CHUNK_SECONDS, first=position)
        rig.results.check(
            "a million events: nothing but 200", holds=not result.refused and not result.socket_errors
        )
        answered += result.answered
        position += result.answered + 2 * CONNECTIONS
    return answered


def _drain(rig: Rig, table: EventTable, answered: int) -> None:
    rig.say(f"memory: waiting for {answered} rows")
    rows = table.wait_for(answered, timeout=DRAIN_SECONDS)
    rig.results.check(f"memory: {answered} answered, {rows} rows", holds=answered <= rows)


def _note(rig: Rig, subject: str, watch: MemoryWatch) -> None:
    series = [samples for samples in watch.samples.values() if samples]
    rig.results.add(
        SCENARIO,
        subject,
        largest_mb=max(max(samples) for samples in series),
        growth_mb=max(growth_of(samples) for samples in series),
    )
