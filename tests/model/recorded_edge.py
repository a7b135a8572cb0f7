"""Configure gunicorn for an edge that records its steps: `gunicorn -c python:tests.model.recorded_edge`.

Each process writes to a file of its own in OM_TRACE_DIRECTORY, one JSON object a line.
"""

import json
import os
from pathlib import Path
from typing import Any

from tests.model.recording import record_edge
from webhook_api.gunicorn_conf import *  # noqa: F403  # the edge's own configuration

_descriptors: dict[int, int] = {}


def _write(step: dict[str, Any]) -> None:
    """Write a step at once, so that it survives the end of the process."""
    process = os.getpid()
    if process not in _descriptors:
        path = Path(os.environ["OM_TRACE_DIRECTORY"], f"{process}-{os.urandom(4).hex()}.jsonl")
        _descriptors[process] = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    os.write(_descriptors[process], json.dumps(step).encode() + b"\n")


record_edge(_write)
