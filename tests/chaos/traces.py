"""Check the recorded steps of a stand's edge and workers against the protocol after each strike."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.model.acceptor import Acceptor
from tests.model.host import Host, TraceError
from tests.model.trace import EdgeProcess
from tests.model.worker_trace import Worker

RECORDED_EDGE = "tests.model.recorded_edge"
"""The gunicorn configuration that runs the edge and records the steps of its processes."""

KINDS = {"edge", "worker"}
"""The kinds of processes that record their steps. The name of a trace begins with its process's kind."""


class Traces:
    """The traces that processes write to a directory, and the position up to which each is checked."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self._directory = directory
        self._acceptors: dict[str, Acceptor] = {}
        self._offsets: dict[str, int] = {}
        self._waiting: list[tuple[str, dict[str, Any]]] = []
        self._host = Host()
        self._effects: set[int] = set()

    @property
    def settings(self) -> dict[str, str]:
        """The settings that make the edge and the workers record their steps."""
        return {"OM_TRACE_DIRECTORY": str(self._directory)}

    def accept(self, patience: float = 0.0) -> int:
        """Check the steps recorded since the last call.

        Args:
            patience: How many seconds to wait until each of KINDS has recorded a step. Workers that a strike
                cut off from the broker record their next step only some seconds after the strike.

        Returns:
            The number of those steps, or 0 if one of KINDS has recorded none.

        Raises:
            TraceError: The protocol in tests/model does not allow the steps.
        """
        deadline = time.monotonic() + patience
        names = self._check()
        while {name.split("-")[0] for name in names} != KINDS:
            if time.monotonic() >= deadline:
                return 0
            time.sleep(0.2)
            names += self._check()
        return len(names)

    def _check(self) -> list[str]:
        """Check the steps recorded since the last call, and return the name of each step's trace."""
        # Leave later steps to the next call: they can depend on steps that another file did not contain yet.
        until = time.monotonic()
        for path in sorted(self._directory.iterdir()):
            self._waiting += [(path.name, step) for step in self._read(path)]
        self._waiting.sort(key=lambda one: one[1]["t"])
        steps = [one for one in self._waiting if one[1]["t"] <= until]
        del self._waiting[: len(steps)]
        for name, step in steps:
            try:
                self._acceptors[name].accept([step])
            except TraceError as error:
                raise TraceError(f"{name}: {error}") from None
        self._host.check_dead([name for name in self._acceptors if self._is_alive(name)])
        return [name for name, _ in steps]

    def _read(self, path: Path) -> list[dict[str, Any]]:
        """Return the next steps of a trace, without an incomplete last line, which is still being written."""
        if path.name not in self._acceptors:
            is_worker = path.name.startswith("worker-")
            process = Worker(self._effects) if is_worker else EdgeProcess(self._host, path.name)
            self._acceptors[path.name] = Acceptor(process)
        with path.open("rb") as trace:
            trace.seek(self._offsets.get(path.name, 0))
            lines = trace.read().split(b"\n")
            self._offsets[path.name] = trace.tell() - len(lines[-1])
        return [json.loads(line) for line in lines[:-1]]

    def _is_alive(self, name: str) -> bool:
        """Return whether the process that writes a trace still has the trace's file open."""
        trace = self._directory / name
        with suppress(OSError):
            descriptors = Path("/proc", name.split("-")[1], "fd").iterdir()
            return any(_is_open_at(descriptor, trace) for descriptor in descriptors)
        return False


def _is_open_at(descriptor: Path, path: Path) -> bool:
    with suppress(OSError):
        return descriptor.samefile(path)
    return False
