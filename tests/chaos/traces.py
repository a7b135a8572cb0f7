"""Check the recorded steps of a stand's edge processes against the protocol, round after round."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.model.trace import Acceptor

if TYPE_CHECKING:
    from pathlib import Path

RECORDED_EDGE = "tests.model.recorded_edge"
"""Of this checkout; a sabotaged copy records nothing."""


class Traces:
    """The traces that the edge processes write to a directory, each read as far as it goes."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self._directory = directory
        self._acceptors: dict[Path, tuple[Acceptor, int]] = {}

    @property
    def settings(self) -> dict[str, str]:
        """The settings with which the edge records its steps."""
        return {"OM_TRACE_DIRECTORY": str(self._directory)}

    def accept(self) -> int:
        """Check the steps recorded since the last call, and return their number.

        Raises:
            TraceError: They are no run of the protocol in tests/model/edge.pml.
        """
        return sum(self._accept(path) for path in sorted(self._directory.iterdir()))

    def _accept(self, path: Path) -> int:
        acceptor, offset = self._acceptors.get(path, (Acceptor(), 0))
        before = acceptor.steps
        with path.open("rb") as trace:
            trace.seek(offset)
            # A process may be writing its last line, or have been killed while it did.
            lines = trace.read().split(b"\n")[:-1]
        self._acceptors[path] = acceptor, offset + sum(len(line) + 1 for line in lines)
        acceptor.accept(map(json.loads, lines))
        return acceptor.steps - before
