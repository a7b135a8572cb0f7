"""Configure gunicorn for an edge that records its steps: `gunicorn -c python:tests.model.recorded_edge`.

Each process writes to a file of its own in OM_TRACE_DIRECTORY, one JSON object a line. Lines are
collected, so recording is cheap. A killed process leaves its last ones out, and what is left is a trace too.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

from tests.model.recording import record_edge
from webhook_api.gunicorn_conf import *  # noqa: F403  # the edge's own configuration

COLLECTED_SECONDS = 0.2


class _Trace:
    """The file of one process, opened while it starts: later it may have no descriptor left."""

    def __init__(self) -> None:
        path = Path(os.environ["OM_TRACE_DIRECTORY"], f"{os.getpid()}-{os.urandom(4).hex()}.jsonl")
        self.process = os.getpid()
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._lines: list[bytes] = []
        self._written_at = 0.0

    def write(self, step: dict[str, Any]) -> None:
        self._lines.append(json.dumps(step).encode() + b"\n")
        now = time.monotonic()
        if now - self._written_at >= COLLECTED_SECONDS:
            self._written_at = now
            os.write(self._descriptor, b"".join(self._lines))
            self._lines.clear()


_trace: _Trace | None = None


def _write(step: dict[str, Any]) -> None:
    global _trace  # noqa: PLW0603  # one of each process, made after the fork
    if _trace is None or _trace.process != os.getpid():
        _trace = _Trace()
    _trace.write(step)


record_edge(_write)
