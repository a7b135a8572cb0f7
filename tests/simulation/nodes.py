"""Model the files and directories of the in-memory file system, and their state after a power cut."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random


@dataclass(slots=True, eq=False)
class File:
    """A file's content, and the number of flushed bytes. `lost` lists the ranges whose flush failed."""

    data: bytearray = field(default_factory=bytearray)
    flushed: int = 0
    lost: list[tuple[int, int]] = field(default_factory=list)
    locked_by: int | None = None
    changed_at: float = 0.0
    is_link: bool = False


@dataclass(slots=True, eq=False)
class Directory:
    """The names in a directory, both as processes see them and as they are on the disk."""

    entries: dict[str, Any] = field(default_factory=dict)
    durable: dict[str, Any] = field(default_factory=dict)


Change = tuple[Directory, str, Any]
"""A directory, a name in it, and the file or directory of that name, or None to remove the name."""


def set_name(names: dict[str, Any], name: str, node: object) -> None:
    """Set a name in *names*, or remove it if *node* is None."""
    if node is None:
        names.pop(name, None)
    else:
        names[name] = node


def flush(changes: tuple[Change, ...]) -> None:
    """Make changes to names durable."""
    for directory, name, node in changes:
        set_name(directory.durable, name, node)


def restore(directory: Directory, random: random.Random) -> None:
    """Reset a directory to its durable state, as after a power cut."""
    directory.entries = dict(directory.durable)
    for node in directory.entries.values():
        if type(node) is Directory:
            restore(node, random)
        else:
            _tear(node, random)


def _tear(file: File, random: random.Random) -> None:
    """Keep the flushed bytes and a random number of unflushed bytes, some of which can become zeros."""
    size = random.randint(file.flushed, len(file.data))
    # The zeros often end within the first record that was not flushed.
    zeros = min(size, file.flushed + random.randint(0, random.choice((16, size - file.flushed))))
    for start, end in [*file.lost, (zeros, size)]:
        file.data[start:end] = bytes(min(end, len(file.data)) - min(start, len(file.data)))
    del file.data[size:]
    file.flushed, file.locked_by = size, None
    file.lost.clear()
