"""Look at what processes log from some moment on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class LogWatch:
    """The ends of some log files, from where they ended when this was made.

    Args:
        logs: The files.
    """

    def __init__(self, logs: Iterable[Path]) -> None:
        self._starts = {log: log.stat().st_size for log in logs}

    def tell(self, words: str) -> bool:
        """Say whether one of them has these words by now."""
        return any(words.encode() in _rest(log, start) for log, start in self._starts.items())


def _rest(log: Path, start: int) -> bytes:
    with log.open("rb") as file:
        file.seek(start)
        return file.read()
