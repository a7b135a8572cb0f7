"""Own the directories in which processes keep their journals: claim one, adopt a dead one, remove it.

```
<state directory>/journal/<token>/lock        held (flock) by the living process
                                 /00000001.segment …  append-only, unlinked whole
```

A directory whose lock is free belongs to nobody: its process is dead, and a living one adopts it.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOCK_NAME: Final = "lock"
SEGMENT_SUFFIX: Final = ".segment"


@dataclass(slots=True)
class Segment:
    """One file of the journal.

    Args:
        path: Where it lies.
        size: Bytes in it.
        opened_at_us: When its oldest event may have come, microseconds since the epoch.
        is_damaged: Whether reading it met bytes that are no record.
    """

    path: Path
    size: int = 0
    opened_at_us: int = 0
    is_damaged: bool = False


@dataclass(frozen=True, slots=True)
class Adopted:
    """A dead process's directory, ours while *lock* is open."""

    directory: Path
    lock: int
    segments: tuple[Segment, ...]

    def release_if_empty(self) -> bool:
        """Remove the directory once nothing readable is left in it."""
        if has_segments(self.directory):
            return False
        remove_directory(self.directory)
        os.close(self.lock)
        return True


def journal_directories(root: Path) -> list[Path]:
    """Return the directories of all processes of this host, the living and the dead."""
    if not root.is_dir():
        return []
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def claim_directory(root: Path) -> tuple[Path, int]:
    """Make this process's directory and hold its lock before any other process can see it.

    Returns:
        The directory, and the lock's descriptor.
    """
    token = f"{os.getpid()}-{secrets.token_hex(6)}"
    hidden = root / f".{token}"
    hidden.mkdir(parents=True, mode=0o700)
    (hidden / LOCK_NAME).touch(mode=0o600)
    lock = _lock(hidden)
    assert lock is not None, "nobody looks into hidden directories"
    return hidden.rename(root / token), lock


def adopt_directory(directory: Path) -> Adopted | None:
    """Take over a directory, or return None where a living process has it."""
    lock = _lock(directory)
    if lock is None:
        return None
    return Adopted(directory, lock, tuple(_segments_in(directory)))


def has_segments(directory: Path) -> bool:
    """Tell whether anything waits in a directory."""
    return any(directory.glob(f"*{SEGMENT_SUFFIX}"))


def remove_directory(directory: Path) -> None:
    """Remove a directory that nothing waits in; its lock must be ours."""
    for path in directory.iterdir():
        path.unlink()
    directory.rmdir()


def sync_directory(directory: Path) -> None:
    """Make the names of new files durable against a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _segments_in(directory: Path) -> Iterator[Segment]:
    for path in sorted(directory.glob(f"*{SEGMENT_SUFFIX}")):
        facts = path.stat()
        if facts.st_size == 0:
            path.unlink()
            continue
        yield Segment(path, size=facts.st_size, opened_at_us=int(facts.st_mtime * 1_000_000))


def _lock(directory: Path) -> int | None:
    """Take the lock of *directory*, or return None where a living process has it.

    The lock file is never made here: the owner of a directory that is being removed may have unlinked it
    already, and a new one would keep the directory from going.
    """
    try:
        descriptor = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    if not (directory / LOCK_NAME).exists():
        # Its owner left, and removed it, between the two calls above.
        os.close(descriptor)
        return None
    return descriptor
