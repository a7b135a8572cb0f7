"""Install an integrator's handler that ends its process when it meets a marked event."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MARK = "poison for the worker"

# An integrator's package is found by its metadata, so a directory on the path is enough of one.
FILES = {
    "chaos_poison.py": f'''"""End the process at a marked event, as a crash in a C library would."""

import os
import signal


def handle(_connection, events, _now_us):
    if any(each.event.text == {MARK!r} for each in events):
        os.kill(os.getpid(), signal.SIGKILL)
    return {{}}
''',
    "chaos_poison-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: chaos-poison\nVersion: 1\n",
    "chaos_poison-1.dist-info/entry_points.txt": (
        "[open_messaging.handlers]\nopenmessaging:conversation:message = chaos_poison:handle\n"
    ),
}


def install(directory: Path) -> Path:
    """Write the package into *directory* and return it, to be put on PYTHONPATH."""
    for name, content in FILES.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return directory


def poisoned(body: bytes) -> bytes:
    """Return a copy of an event that kills who handles it."""
    event = json.loads(body)
    event["eventType"] = "openmessaging:conversation:message"
    event["message"] = {"text": MARK, "direction": "inbound"}
    return json.dumps(event).encode()
