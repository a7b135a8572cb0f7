"""Check the recorded steps of a stand's edge processes and workers against the protocol, after each round."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.model.trace import Acceptor
from tests.model.worker_trace import Worker

if TYPE_CHECKING:
    from pathlib import Path

RECORDED_EDGE = "tests.model.recorded_edge"
"""The module of this checkout that records an edge process's steps."""


class Traces:
    """The traces that processes write to a directory, each read up to its present end."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self._directory = directory
        self._acceptors: dict[Path, tuple[Acceptor, int]] = {}
        self._effects: set[int] = set()

    @property
    def settings(self) -> dict[str, str]:
        """The settings with which edge and workers record their steps."""
        return {"OM_TRACE_DIRECTORY": str(self._directory)}

    def accept(self) -> int:
        """Check the steps recorded since the last call, and return their number.

        Raises:
            TraceError: The steps are not a run of the protocol in tests/model.
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
            # A process may be writing its last line, or have been killed while it did.
            lines = trace.read().split(b"\n")[:-1]
        self._acceptors[path] = acceptor, offset + sum(len(line) + 1 for line in lines)
        acceptor.accept(map(json.loads, lines))
        return acceptor.steps - before
