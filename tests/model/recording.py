"""Record calls between the parts of a process as steps in a file."""

from __future__ import annotations

import atexit
import functools
import json
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

COLLECTED_SECONDS: Final = 0.2


class TraceFile:
    """The trace of one process: a file in OM_TRACE_DIRECTORY, with one JSON object per line.

    Lines are collected before they are written, so that recording costs little. A killed process loses its
    last lines, but the other lines are still a valid trace. Create this object when the process starts:
    later, the process may have no free descriptor left for the file.

    Args:
        kind: The kind of the process. The file's name begins with it.
    """

    def __init__(self, kind: str) -> None:
        self.process = os.getpid()
        name = f"{kind}-{self.process}-{os.urandom(4).hex()}.jsonl"
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(Path(os.environ["OM_TRACE_DIRECTORY"], name), flags, 0o600)
        self._lines: list[bytes] = []
        self._written_at = 0.0
        self._lock = threading.Lock()
        atexit.register(self._flush)

    def write(self, step: dict[str, Any]) -> None:
        """Add a step to the trace. Any thread may call this."""
        with self._lock:
            self._lines.append(json.dumps(step).encode() + b"\n")
            now = time.monotonic()
            if now - self._written_at >= COLLECTED_SECONDS:
                self._written_at = now
                self._flush()

    def _flush(self) -> None:
        if os.getpid() == self.process:
            os.write(self._descriptor, b"".join(self._lines))
            self._lines.clear()


def follow(owner: Any, name: str, note: Callable[..., None]) -> Callable[[], None]:
    """Call *note* after each call of a function or method, with the call's result and arguments.

    Returns:
        A function that restores the original.
    """
    original = getattr(owner, name)

    @functools.wraps(original)
    def call(*arguments: Any, **named: Any) -> Any:
        result = original(*arguments, **named)
        note(result, *arguments, **named)
        return result

    setattr(owner, name, call)
    return lambda: setattr(owner, name, original)


def precede(owner: Any, name: str, note: Callable[..., None]) -> None:
    """Call *note* before each call of a function or method, with the call's arguments."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def call(*arguments: Any, **named: Any) -> Any:
        note(*arguments, **named)
        return original(*arguments, **named)

    setattr(owner, name, call)
