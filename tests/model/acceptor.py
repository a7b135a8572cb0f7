"""Check recorded steps one by one, and report the first step that the protocol does not allow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from tests.model.host import Host, TraceError
from tests.model.trace import EdgeProcess

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Process(Protocol):
    """Determines which steps a process (an edge process or a worker) may take next."""

    def take(self, step: Mapping[str, Any]) -> None:
        """Accept one step, or raise a TraceError."""


class Acceptor:
    """Checks the steps of one process. `steps` counts the accepted steps."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.steps = 0

    def accept(self, steps: Iterable[Mapping[str, Any]]) -> None:
        """Check the next steps of the process.

        Raises:
            TraceError: The protocol does not allow a step at this point.
        """
        for step in steps:
            try:
                self._process.take(step)
            except TraceError as error:
                raise TraceError(f"step {self.steps + 1}, {dict(step)}: {error}") from None
            self.steps += 1


def check_traces(traces: Mapping[str, Iterable[Mapping[str, Any]]]) -> int:
    """Check complete traces of one host's edge processes, keyed by process; return the number of steps.

    Raises:
        TraceError: The protocol does not allow a step at this point.
    """
    host = Host()
    acceptors = {name: Acceptor(EdgeProcess(host, name)) for name in traces}
    steps = [(name, step) for name, trace in traces.items() for step in trace]
    for name, step in sorted(steps, key=lambda one: one[1]["t"]):
        acceptors[name].accept([step])
    return len(steps)
