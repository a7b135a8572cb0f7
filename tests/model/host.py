"""Check that edge processes take over only the journals of dead processes.

The kernel releases a process's lock when the process dies, which no trace can show. But a process whose
segments were adopted must not take any further steps, and must not be alive when its trace is read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


class TraceError(Exception):
    """A step does not follow the protocol. The message names the step."""


def demand(condition: object, reason: str) -> None:
    """Raise a TraceError unless the condition holds."""
    if not condition:
        raise TraceError(reason)


@dataclass
class Host:
    """Tracks which edge process of one host owns each directory, as their recorded steps show.

    `t` is the time of a step on a clock that all processes share. Check the steps of each process in order,
    and check an owner's `hold` before the steps that depend on it.
    """

    _owners: dict[str, str | None] = field(default_factory=dict)
    _released: dict[str, float] = field(default_factory=dict)
    _last: dict[str, float] = field(default_factory=dict)
    _dead_since: dict[str, float] = field(default_factory=dict)
    _adopters: dict[str, str] = field(default_factory=dict)

    def pass_time(self, process: str, t: float) -> None:
        """Note that a process took a step, and is therefore alive."""
        demand(t <= self._dead_since.get(process, inf), "its segments were adopted while it was alive")
        self._last[process] = t

    def hold(self, process: str, directory: str, t: float) -> None:
        """Make a process the owner of a directory that is new or belonged to a dead process.

        The process no longer owns the directories that it has released.
        """
        for released in self._released:
            if self._owners[released] == process:
                self._owners[released] = None
        if directory in self._owners:
            self._take_over(process, directory, t)
        self._owners[directory] = process
        self._released.pop(directory, None)

    def release(self, process: str, t: float) -> None:
        """Release the locks on all directories of a process."""
        for directory, owner in self._owners.items():
            if owner == process:
                self._released[directory] = t

    def adopt(self, process: str, segment: str, t: float) -> None:
        """Move a segment, given by its former name, out of a dead process's directory."""
        directory = segment.split("/", maxsplit=1)[0]
        demand(directory in self._owners, "no process held the segment's directory")
        self._take_over(process, directory, t)
        if (before := self._adopters.get(segment)) is not None:
            # Only a power cut, which ends all processes, can undo the rename of an adopted segment.
            self._declare_dead(before, t)
        self._adopters[segment] = process

    def owns(self, process: str, segment: str) -> bool:
        """Return whether a process holds the directory of a segment."""
        return self._owners.get(segment.split("/", maxsplit=1)[0]) == process

    def check_dead(self, living: Collection[str]) -> None:
        """Raise a TraceError if a process is alive even though another process has adopted its segments."""
        alive = sorted(self._dead_since.keys() & living)
        demand(not alive, f"segments of {alive} were adopted, but these processes are alive")

    def _take_over(self, process: str, directory: str, t: float) -> None:
        owner = self._owners[directory]
        demand(owner != process, "the process itself holds the directory")
        if owner is not None and self._released.get(directory, inf) > t:
            self._declare_dead(owner, t)

    def _declare_dead(self, process: str, t: float) -> None:
        demand(self._last[process] <= t, "the owner of the segments takes later steps")
        self._dead_since[process] = min(t, self._dead_since.get(process, inf))


def fields_of(step: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a step other than its kind and its time."""
    return {name: value for name, value in step.items() if name not in {"step", "t"}}
