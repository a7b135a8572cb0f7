"""Create, lock, list and remove the directories in which processes keep their journals.

```
<state directory>/journal/<token>/lock        held (flock) by the living process
                                 /00000001.segment …  append-only, deleted as a whole
                                 /status.json         its last status, for the host's health report
```

If a directory's lock is free, the directory's process is dead, and a living process adopts its segments.
Directories whose names begin with a dot are being created or removed, and are ignored.
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
_SEGMENT_NAME: Final = re.compile(r"\d{8,}\.segment")


@dataclass(slots=True)
class Segment:
    """One file of the journal, of `size` bytes. If `is_damaged`, some bytes belong to no readable record.

    `opened_at_us` is when its first event arrived or, for an adopted segment, when it was last written, in
    microseconds since the epoch. `events` counts its events; it is 0 if another process wrote the segment.
    """

    path: Path
    size: int = 0
    opened_at_us: int = 0
    is_damaged: bool = False
    events: int = 0

    @property
    def name(self) -> str:
        """The names of the segment's directory and file, for the log."""
        return f"{self.path.parent.name}/{self.path.name}"


def journal_directories(root: Path) -> list[Path]:
    """Return the journal directories of all processes of this host; raise OSError if *root* is unreadable."""
    return [path for path in _list_entries(root) if not path.is_symlink() and path.is_dir()]


def foreign_entries(root: Path) -> dict[str, str]:
    """Return the names of entries in *root* that are not journal directories, each with the reason."""
    return {
        path.name: "a symbolic link" if path.is_symlink() else "not a directory"
        for path in _list_entries(root)
        if path.is_symlink() or not path.is_dir()
    }


def create_directory(root: Path) -> tuple[Path, int]:
    """Create this process's directory, and lock it before any other process can see it.

    Return the directory and the descriptor of its lock. If OSError is raised, no directory is left behind.
    """
    token = f"{os.getpid()}-{secrets.token_hex(6)}"
    hidden = root / f".{token}"
    hidden.mkdir(parents=True, mode=0o700)
    lock, directory = -1, hidden
    try:
        lock = os.open(hidden / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        directory = hidden.rename(root / token)
        # Flush the parent directories: flushed segments survive a power cut only if their paths do.
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
    """Lock *directory* and return the descriptor; None if the directory is gone or a process holds the lock.

    The lock file is not created here, because a directory without one might not be a journal. Raises OSError
    if the lock file is missing or cannot be opened, or if no descriptor is free.
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
        # Another process removed the directory after this process had opened the lock file.
        os.close(lock)
        return None
    return lock


def has_owner(directory: Path) -> bool:
    """Return whether a living process holds a directory's lock; raise OSError if the lock is unreadable."""
    with (directory / LOCK_NAME).open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def list_segments(directory: Path) -> list[Segment]:
    """Return a directory's segments, oldest first; raises OSError if the directory cannot be read."""
    segments = []
    paths = (path for path in directory.iterdir() if _SEGMENT_NAME.fullmatch(path.name))
    for path in sorted(paths, key=lambda path: int(path.stem)):
        with suppress(FileNotFoundError):
            facts = path.lstat()
            if stat.S_ISREG(facts.st_mode):
                segments.append(Segment(path, facts.st_size, int(facts.st_mtime * 1_000_000)))
    return segments


def segment_path(directory: Path, number: int) -> Path:
    """Return the path of the segment with the given number in a directory."""
    return directory / f"{number:08d}.segment"


def remove_status(directory: Path) -> None:
    """Remove a dead process's status; the process that adopts its segments reports them from then on."""
    for name in (STATUS_NAME, f"{STATUS_NAME}.new", TRIAL_NAME):
        (directory / name).unlink(missing_ok=True)


def remove_directory(directory: Path) -> bool:
    """Remove a directory that this process has locked; return False if it still contains other files."""
    remove_status(directory)
    if [path.name for path in directory.iterdir()] != [LOCK_NAME]:
        return False
    hidden = directory.rename(directory.with_name(f".{directory.name}"))
    (hidden / LOCK_NAME).unlink()
    hidden.rmdir()
    return True


def replace_file(path: Path, data: bytes, *, fsync: bool = False) -> None:
    """Replace a file atomically; with *fsync*, flush it too. Only `sync_directory` makes its name durable."""
    temporary = path.with_name(f"{path.name}.new")
    with temporary.open("wb") as file:
        file.write(data)
        if fsync:
            file.flush()
            os.fsync(file.fileno())
    temporary.rename(path)


def sync_directory(directory: Path) -> None:
    """Flush a directory, so that the names of new files in it survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _list_entries(root: Path) -> list[Path]:
    if not root.exists():
        return []
    return sorted(path for path in root.iterdir() if not path.name.startswith("."))
