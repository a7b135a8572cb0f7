"""Create, lock, list and remove the directories in which processes keep their journals.

```
<state directory>/journal/<token>/lock        held (flock) by the living process
                                 /00000001.segment …  append-only, unlinked whole
                                 /status.json         its last report, for the health of the host
```

A directory whose lock is free has no owner: its process is dead, and a living one adopts its segments.
Names that begin with a dot are being created or removed, and are ignored.
"""

import fcntl
import os
import re
import secrets
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LOCK_NAME: Final = "lock"
STATUS_NAME: Final = "status.json"
TRIAL_NAME: Final = "trial.tmp"
_SEGMENT_NAME: Final = re.compile(r"(\d{8})\.segment")


@dataclass(slots=True)
class Segment:
    """One file of the journal; `size` in bytes.

    `opened_at_us`: when its oldest event may have arrived, microseconds since the epoch. `is_damaged`: some
    of its bytes are no readable record. `events`: their number; 0 if another process wrote the segment.
    """

    path: Path
    size: int = 0
    opened_at_us: int = 0
    is_damaged: bool = False
    events: int = 0

    @property
    def name(self) -> str:
        """Its directory and its name, for logs."""
        return f"{self.path.parent.name}/{self.path.name}"


def journal_directories(root: Path) -> list[Path]:
    """Return the directories of all processes of this host; raises OSError if *root* cannot be read."""
    return [path for path in _list_entries(root) if not path.is_symlink() and path.is_dir()]


def foreign_entries(root: Path) -> dict[str, str]:
    """Return the entries that are no journal directories, by name, each with the reason."""
    return {
        path.name: "a symbolic link" if path.is_symlink() else "no directory"
        for path in _list_entries(root)
        if path.is_symlink() or not path.is_dir()
    }


def create_directory(root: Path) -> tuple[Path, int]:
    """Create this process's directory, locked before any other process can see it.

    Return the directory and the lock's descriptor; on an OSError, the directory is removed again.
    """
    token = f"{os.getpid()}-{secrets.token_hex(6)}"
    hidden = root / f".{token}"
    hidden.mkdir(parents=True, mode=0o700)
    lock, directory = -1, hidden
    try:
        lock = os.open(hidden / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        directory = hidden.rename(root / token)
        # Flushed segments survive a power cut only if the names of their directories do.
        sync_directory(root)
        sync_directory(root.parent)
    except OSError:
        if lock >= 0:
            os.close(lock)
        (directory / LOCK_NAME).unlink(missing_ok=True)
        directory.rmdir()
        raise
    return directory, lock


def lock_directory(directory: Path) -> int | None:
    """Take the lock of *directory*; return None if a living process has it, or the directory is gone.

    The lock file is never created here: a directory without a lock file may not be a journal. Raises OSError
    if there is no lock file, it cannot be opened, or no descriptor is free.
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
        # Another process removed the directory between the open and the lock above.
        os.close(lock)
        return None
    return lock


def has_owner(directory: Path) -> bool:
    """Return whether a living process holds the lock; raises OSError if there is no readable lock."""
    with (directory / LOCK_NAME).open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def list_segments(directory: Path) -> list[Segment]:
    """Return a directory's segments, oldest first; raises OSError if it cannot be read."""
    segments = []
    for path in sorted(path for path in directory.iterdir() if _SEGMENT_NAME.fullmatch(path.name)):
        with suppress(FileNotFoundError):
            facts = path.lstat()
            if stat.S_ISREG(facts.st_mode):
                segments.append(Segment(path, facts.st_size, int(facts.st_mtime * 1_000_000)))
    return segments


def segment_path(directory: Path, number: int) -> Path:
    """Return the path of a directory's segment with that number."""
    return directory / f"{number:08d}.segment"


def segment_number(path: Path) -> int:
    """Return the number in a segment's name."""
    return int(path.name.partition(".")[0])


def remove_status(directory: Path) -> None:
    """Remove a dead process's last report: the process that adopts its segments counts them."""
    for name in (STATUS_NAME, f"{STATUS_NAME}.new", TRIAL_NAME):
        (directory / name).unlink(missing_ok=True)


def remove_directory(directory: Path) -> bool:
    """Remove a directory that this process has locked; return False if it contains anything but the lock."""
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


def _list_entries(root: Path) -> list[Path]:
    if not root.exists():
        return []
    return sorted(path for path in root.iterdir() if not path.name.startswith("."))
