"""Own the directories in which processes keep their journals: name, make, lock, list and remove them.

```
<state directory>/journal/<token>/lock        held (flock) by the living process
                                 /00000001.segment …  append-only, unlinked whole
                                 /status.json         its last report, for the health of the host
```

A directory whose lock is free belongs to nobody: its process is dead, and a living one takes its segments.
Names that begin with a dot are being made or removed, and looked at by nobody else.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import stat
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOCK_NAME: Final = "lock"
STATUS_NAME: Final = "status.json"
TRIAL_NAME: Final = "trial.tmp"
_SEGMENT_NAME: Final = re.compile(r"(\d{8})\.segment")


@dataclass(slots=True)
class Segment:
    """One file of the journal.

    Args:
        path: Where it lies.
        size: Bytes in it.
        events: Events in it; 0 where another process wrote them, until they are read.
        opened_at_us: When its oldest event may have come, microseconds since the epoch.
        is_damaged: Whether reading it met bytes that are no record.
    """

    path: Path
    size: int = 0
    opened_at_us: int = 0
    is_damaged: bool = False
    events: int = 0


def journal_directories(root: Path) -> list[Path]:
    """Return the directories of all processes of this host, the living and the dead.

    Raises:
        OSError: *root* is there and may not be read.
    """
    return [path for path in _entries(root) if not path.is_symlink() and path.is_dir()]


def foreign_entries(root: Path) -> dict[str, str]:
    """Return what lies beside the journal directories and is none, each name with the reason."""
    return {
        path.name: "a symbolic link" if path.is_symlink() else "no directory"
        for path in _entries(root)
        if path.is_symlink() or not path.is_dir()
    }


def claim_directory(root: Path) -> tuple[Path, int]:
    """Make this process's directory and hold its lock before any other process can see it.

    Returns:
        The directory, and the lock's descriptor.

    Raises:
        OSError: It cannot be made; nothing of it is left.
    """
    token = f"{os.getpid()}-{secrets.token_hex(6)}"
    hidden = root / f".{token}"
    hidden.mkdir(parents=True, mode=0o700)
    try:
        lock = os.open(hidden / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        hidden.rmdir()
        raise
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return hidden.rename(root / token), lock


def lock_directory(directory: Path) -> int | None:
    """Take the lock of *directory*, or return None where a living process has it, or it is gone.

    The lock file is never made here: a directory without one is nobody's that we know.

    Raises:
        OSError: There is none, or it may not be opened, or no descriptor is free.
    """
    try:
        lock = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        if not directory.exists():
            return None
        raise
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    if not (directory / LOCK_NAME).exists():
        # Somebody emptied and removed it between the two calls above.
        os.close(lock)
        return None
    return lock


def has_owner(directory: Path) -> bool:
    """Tell whether a living process holds the lock; the lock is free again when this returns.

    Raises:
        OSError: There is no lock, or it may not be read.
    """
    with (directory / LOCK_NAME).open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def segments_in(directory: Path) -> list[Segment]:
    """Return the segments in a directory, oldest first; what only looks like one is left out.

    Raises:
        OSError: The directory may not be read.
    """
    return [
        Segment(path, size=facts.st_size, opened_at_us=int(facts.st_mtime * 1_000_000))
        for path, facts in _segment_files(directory)
    ]


def bytes_in(directory: Path) -> int:
    """Return how many bytes of segments a directory holds; 0 where it may not be read."""
    with suppress(OSError):
        return sum(segment.size for segment in segments_in(directory))
    return 0


def segment_path(directory: Path, number: int) -> Path:
    """Return where a directory's segment of that number lies."""
    return directory / f"{number:08d}.segment"


def segment_number(path: Path) -> int:
    """Return the number in a segment's name."""
    return int(path.name.partition(".")[0])


def remove_status(directory: Path) -> None:
    """Remove a dead process's last report: what it counts is counted by whoever has it now."""
    for name in (STATUS_NAME, f"{STATUS_NAME}.new", TRIAL_NAME):
        (directory / name).unlink(missing_ok=True)


def remove_directory(directory: Path) -> bool:
    """Remove a directory whose lock is ours, or return False where it holds anything but the lock."""
    remove_status(directory)
    if [path.name for path in directory.iterdir()] != [LOCK_NAME]:
        return False
    hidden = directory.rename(directory.with_name(f".{directory.name}"))
    (hidden / LOCK_NAME).unlink()
    hidden.rmdir()
    return True


def sync_directory(directory: Path) -> None:
    """Make the names of new files durable against a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _entries(root: Path) -> list[Path]:
    if not root.exists():
        return []
    return sorted(path for path in root.iterdir() if not path.name.startswith("."))


def _segment_files(directory: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for name in sorted(path.name for path in directory.iterdir()):
        path = directory / name
        with suppress(FileNotFoundError):
            facts = path.lstat()
            if _SEGMENT_NAME.fullmatch(name) and stat.S_ISREG(facts.st_mode):
                yield path, facts
