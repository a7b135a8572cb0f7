"""Look into the edge's journals on the disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook_api.journal import Entry, read_segment

if TYPE_CHECKING:
    from pathlib import Path


class Journals:
    """The journal directory of a stand's edge.

    Args:
        root: Holds one directory for each process.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def segments(self) -> list[Path]:
        """Return the segments with something in them, oldest first within each directory."""
        return [path for directory in _entries(self.root) for path in _entries(directory) if _size(path)]

    @property
    def size(self) -> int:
        """Bytes that are not proven yet."""
        return sum(_size(path) for path in self.segments())

    def bodies(self) -> list[bytes]:
        """Return the bodies that are still journalled and readable."""
        return [body for path in self.segments() for body in bodies_in(path)]


def bodies_in(path: Path) -> list[bytes]:
    """Return the readable bodies of one segment; none where it has just been let go."""
    try:
        return [record.body for record in read_segment(path) if isinstance(record, Entry)]
    except FileNotFoundError:
        return []


def _entries(directory: Path) -> list[Path]:
    """Return what a directory holds; nothing where it has just been removed, or never was one."""
    try:
        return sorted(directory.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _size(path: Path) -> int:
    """Return the bytes in a segment; 0 for other files and for what has just been let go."""
    try:
        return path.stat().st_size if path.suffix == ".segment" else 0
    except FileNotFoundError:
        return 0


def records_in(path: Path) -> list[tuple[int, bytes]]:
    """Return the readable bodies of a segment that nobody writes to, each with where it starts."""
    data = path.read_bytes()
    found = []
    offset = 0
    for body in bodies_in(path):
        offset = data.index(body, offset)
        found.append((offset, body))
        offset += len(body)
    return found
