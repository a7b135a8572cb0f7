"""Read what processes cost: CPU time and resident memory of a process and all its children."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Mapping


def cpu_seconds(pid: int) -> float:
    """Return user and system time of a process tree, its ended children included.

    Source: proc_pid_stat(5): utime, stime, and cutime and cstime of the children waited for.
    """
    return sum(sum(times) for times in map(_times, _tree(pid)))


def resident_megabytes(pid: int) -> float:
    """Return the resident memory of one process in MB."""
    return float(psutil.Process(pid).memory_info().rss / 1e6)


def children(pid: int) -> list[int]:
    """Return the children of a process, oldest first."""
    return [child.pid for child in psutil.Process(pid).children()]


def _tree(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def _times(process: psutil.Process) -> tuple[float, float, float, float]:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0, 0.0, 0.0, 0.0
    return times.user, times.system, times.children_user, times.children_system


@dataclass(frozen=True, slots=True)
class CpuMeter:
    """CPU time of several process trees from one moment on.

    Args:
        pids: The root of each tree by the name to report it under.
        started: What each had used at that moment, in seconds.
    """

    pids: Mapping[str, int]
    started: Mapping[str, float]

    @classmethod
    def start(cls, **pids: int) -> CpuMeter:
        """Begin to measure the trees of these processes."""
        return cls(pids, {name: cpu_seconds(pid) for name, pid in pids.items()})

    def per_event_us(self, events: int) -> dict[str, float]:
        """Return microseconds of CPU per event since the start, as `<name>_cpu_us`."""
        return {
            f"{name}_cpu_us": (cpu_seconds(pid) - self.started[name]) * 1e6 / max(events, 1)
            for name, pid in self.pids.items()
        }
