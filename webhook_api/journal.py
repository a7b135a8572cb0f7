"""Keep every accepted event in files of this process until it is proven to be in the broker.

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

from webhook_api.journal_file import record_header

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SEGMENT_BYTES: Final = 4 * 1024 * 1024
"""A segment is read as a whole for republishing, so this bounds the memory of recovery."""

LOCK_NAME: Final = "lock"
SEGMENT_SUFFIX: Final = ".segment"


class JournalFullError(Exception):
    """The event was not kept, by the limit or by the disk: answer 503, the platform sends it again."""


@dataclass(slots=True)
class Segment:
    """One file of the journal.

    Args:
        path: Where it lies.
        size: Bytes in it.
        entries: Events in it; 0 where it was adopted and has not been read.
        opened_at_us: When its oldest event may have come, microseconds since the epoch.
        is_damaged: Whether reading it met bytes that are no record.
    """

    path: Path
    size: int = 0
    entries: int = 0
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
        if _has_segments(self.directory):
            return False
        _remove(self.directory)
        os.close(self.lock)
        return True


class Journal:
    """This process's directory and the segment being written.

    Args:
        root: The journal directory of the host.
        max_bytes: What `size` may reach, adopted segments included.
        fsync: Whether `sync` makes what was appended durable against a power cut.
        now_us: Microseconds since the epoch.
    """

    def __init__(self, root: Path, *, max_bytes: int, fsync: bool, now_us: int) -> None:
        self._root = root
        self._max_bytes = max_bytes
        self._fsync = fsync
        self._unsynced = False
        self._directory: Path | None = None
        self._lock = -1
        self._number = 0
        self._descriptor = -1
        self.size = 0
        self.active = Segment(root)
        self._open_segment(now_us)

    @property
    def directory(self) -> Path | None:
        """This process's own directory; None while the disk has no room for one."""
        return self._directory

    def append(self, properties: bytes, body: bytes) -> None:
        """Keep one event; durable against the end of this process when it returns.

        Raises:
            JournalFullError: The limit is reached or the disk takes no more; nothing was kept.
        """
        header = record_header(properties, body)
        size = len(header) + len(properties) + len(body)
        if self.size + size > self._max_bytes:
            raise JournalFullError
        if self._descriptor < 0 and not self._open_segment(self.active.opened_at_us):
            raise JournalFullError
        try:
            written = os.writev(self._descriptor, (header, properties, body))
        except OSError as exc:
            raise JournalFullError from exc
        if written != size:
            os.ftruncate(self._descriptor, self.active.size)
            raise JournalFullError
        self.active.size += size
        self.active.entries += 1
        self.size += size
        self._unsynced = self._fsync

    def sync(self) -> None:
        """Make durable what was appended since the last call, if `fsync`; blocks for the disk's flush."""
        if self._unsynced:
            os.fdatasync(self._descriptor)
            self._unsynced = False

    def rotate(self, now_us: int) -> Segment:
        """Close the active segment, return it, and go on in a new one."""
        self.sync()
        closed = self.active
        os.close(self._descriptor)
        self._open_segment(now_us)
        return closed

    def discard(self, segment: Segment) -> None:
        """Let go of a proven segment; a damaged one is kept aside for a person to look at."""
        if segment.is_damaged:
            aside = self._root.parent / "damaged"
            aside.mkdir(mode=0o700, exist_ok=True)
            segment.path.rename(aside / f"{segment.path.parent.name}-{segment.path.name}")
        else:
            segment.path.unlink(missing_ok=True)
        self.size -= segment.size

    def adopt(self) -> Iterator[Adopted]:
        """Take over the directories of dead processes on this host."""
        for directory in journal_directories(self._root):
            if directory == self._directory or (lock := _locked(directory)) is None:
                continue
            adopted = Adopted(directory, lock, tuple(_segments_in(directory)))
            self.size += sum(segment.size for segment in adopted.segments)
            yield adopted

    def close(self) -> None:
        """Let go of the directory; removed when nothing is left to prove, else adopted by the next."""
        if self._directory is None:
            return
        self.sync()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            if self.active.size == 0:
                self.active.path.unlink()
        if not _has_segments(self._directory):
            _remove(self._directory)
        os.close(self._lock)

    def _open_segment(self, now_us: int) -> bool:
        """Open the next segment; on a full disk leave none open, `append` tries again."""
        self._descriptor = -1
        try:
            if self._directory is None:
                self._directory, self._lock = _claim_directory(self._root)
            self._number += 1
            self.active = Segment(
                self._directory / f"{self._number:08d}{SEGMENT_SUFFIX}", opened_at_us=now_us
            )
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
            self._descriptor = os.open(self.active.path, flags, 0o600)
            if self._fsync:
                _sync_directory(self._directory)
        except OSError:
            self.active = Segment(self._root, opened_at_us=now_us)
        return self._descriptor >= 0


def journal_directories(root: Path) -> list[Path]:
    """Return the directories of all processes of this host, the living and the dead."""
    if not root.is_dir():
        return []
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def _claim_directory(root: Path) -> tuple[Path, int]:
    """Make this process's directory and hold its lock before any other process can see it."""
    token = f"{os.getpid()}-{secrets.token_hex(6)}"
    hidden = root / f".{token}"
    hidden.mkdir(parents=True, mode=0o700)
    lock = _locked(hidden)
    assert lock is not None, "nobody looks into hidden directories"
    return hidden.rename(root / token), lock


def _segments_in(directory: Path) -> Iterator[Segment]:
    for path in sorted(directory.glob(f"*{SEGMENT_SUFFIX}")):
        facts = path.stat()
        if facts.st_size == 0:
            path.unlink()
            continue
        yield Segment(path, size=facts.st_size, opened_at_us=int(facts.st_mtime * 1_000_000))


def _locked(directory: Path) -> int | None:
    """Take the lock of *directory*, or return None where a living process has it."""
    try:
        descriptor = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
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


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _has_segments(directory: Path) -> bool:
    return any(directory.glob(f"*{SEGMENT_SUFFIX}"))


def _remove(directory: Path) -> None:
    for path in directory.iterdir():
        path.unlink()
    directory.rmdir()
