"""Read the CPU time of a process and all its children."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Mapping


def cpu_seconds(pid: int) -> float:
    """Return the user and system time of a process tree, including children that have ended.

    Source: proc_pid_stat(5): utime and stime, and cutime and cstime for the children that were waited for.
    """
    root = psutil.Process(pid)
    return sum(map(_own_seconds, [root, *root.children(recursive=True)]))


def _own_seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return times.user + times.system + times.children_user + times.children_system


@dataclass(frozen=True, slots=True)
class CpuMeter:
    """Measures the CPU time of process trees, given each one's name, root process and initial CPU time."""

    started: Mapping[str, tuple[int, float]]

    @classmethod
    def start(cls, **pids: int) -> CpuMeter:
        """Start measuring the process trees whose root processes have these ids."""
        return cls({name: (pid, cpu_seconds(pid)) for name, pid in pids.items()})

    def per_event_us(self, events: int) -> dict[str, float]:
        """Return each process tree's CPU time per event since the start, in µs, as `<name>_cpu_us`."""
        return {
            f"{name}_cpu_us": (cpu_seconds(pid) - before) * 1e6 / max(events, 1)
            for name, (pid, before) in self.started.items()
        }
