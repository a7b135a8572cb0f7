"""Record calls between the components of a process as steps in a file."""

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
AT_ONCE: Final = {"hold", "release", "claim", "commit"}
"""Steps that are written immediately, because the steps of other processes depend on them."""


class TraceFile:
    """The trace of one process: a file in OM_TRACE_DIRECTORY, with one JSON object per line.

    The file stays open while the process lives. A step's `t` is its time on the host's monotonic clock.

    Lines are collected before they are written, so that recording costs little. A killed process loses its
    last lines, but the other lines are still a valid trace. Create this object when the process starts:
    later, the process might have no free descriptor left for the file.

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
            now = time.monotonic()
            self._lines.append(json.dumps({"t": now, **step}).encode() + b"\n")
            if now - self._written_at >= COLLECTED_SECONDS or step["step"] in AT_ONCE:
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

    def call(original: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        result = original(*arguments, **named)
        note(result, *arguments, **named)
        return result

    return surround(owner, name, call)


def precede(owner: Any, name: str, note: Callable[..., None]) -> Callable[[], None]:
    """Call *note* before each call of a function or method, with the call's arguments.

    Returns:
        A function that restores the original.
    """

    def call(original: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        note(*arguments, **named)
        return original(*arguments, **named)

    return surround(owner, name, call)


def surround(owner: Any, name: str, call: Callable[..., Any]) -> Callable[[], None]:
    """Replace a function or method with *call*, which receives the original and the call's arguments.

    Returns:
        A function that restores the original.
    """
    original = getattr(owner, name)

    @functools.wraps(original)
    def replacement(*arguments: Any, **named: Any) -> Any:
        return call(original, *arguments, **named)

    setattr(owner, name, replacement)
    return lambda: setattr(owner, name, original)
