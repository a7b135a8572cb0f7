"""After each strike, check the recorded steps of a stand's edge and workers against the protocol."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.model.trace import Acceptor
from tests.model.worker_trace import Worker

if TYPE_CHECKING:
    from pathlib import Path

RECORDED_EDGE = "tests.model.recorded_edge"
"""The gunicorn configuration that runs the edge and records the steps of its processes."""


class Traces:
    """The traces that processes write to a directory, and the position up to which each is checked."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self._directory = directory
        self._acceptors: dict[Path, tuple[Acceptor, int]] = {}
        self._effects: set[int] = set()

    @property
    def settings(self) -> dict[str, str]:
        """The settings with which the edge and the workers record their steps."""
        return {"OM_TRACE_DIRECTORY": str(self._directory)}

    def accept(self) -> int:
        """Check the steps recorded since the last call, and return their number.

        Raises:
            TraceError: The protocol in tests/model does not allow the steps.
        """
        return sum(self._accept(path) for path in sorted(self._directory.iterdir()))

    def _accept(self, path: Path) -> int:
        if path not in self._acceptors:
            is_worker = path.name.startswith("worker-")
            self._acceptors[path] = Acceptor(Worker(self._effects) if is_worker else None), 0
        acceptor, offset = self._acceptors[path]
        before = acceptor.steps
        with path.open("rb") as trace:
            trace.seek(offset)
            # Ignore the last line if it is incomplete: a process may still be writing it, or was killed.
            lines = trace.read().split(b"\n")[:-1]
        self._acceptors[path] = acceptor, offset + sum(len(line) + 1 for line in lines)
        acceptor.accept(map(json.loads, lines))
        return acceptor.steps - before
