"""Configure gunicorn to run an edge that records its steps: gunicorn -c python:tests.model.recorded_edge."""

import os
from typing import Any

from tests.model.edge_recording import record_edge
from tests.model.recording import TraceFile
from webhook_api.gunicorn_conf import *  # noqa: F403  # the edge's own configuration

_trace: TraceFile | None = None


def _write(step: dict[str, Any]) -> None:
    global _trace  # noqa: PLW0603  # each process opens its own file after the fork
    if _trace is None or _trace.process != os.getpid():
        _trace = TraceFile("edge")
    _trace.write(step)


record_edge(_write)
