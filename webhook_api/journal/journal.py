"""Keep every accepted event in files of this process until it is proven to be in the broker."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from messaging.log import logger
from webhook_api.journal.directory import (
    SEGMENT_SUFFIX,
    Adopted,
    Segment,
    adopt_directory,
    claim_directory,
    has_segments,
    journal_directories,
    remove_directory,
    sync_directory,
)
from webhook_api.journal.segment_file import record_header

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SEGMENT_BYTES: Final = 1024 * 1024
"""A segment is read as a whole for republishing, so this bounds the memory of recovery."""


class JournalFullError(Exception):
    """The event was not kept, by the limit or by the disk: answer 503, the platform sends it again."""


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
        self._is_durable = True
        self.flush_failures = 0
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
        self.size += size
        self._unsynced = self._fsync

    def sync(self) -> bool:
        """Make durable what was appended since the last call, if `fsync`; blocks for the disk's flush.

        Returns:
            Whether it is. After a failure call `rotate` and append no more to that file: Linux takes the
            pages that it could not write for clean, so that a second flush would succeed without them.
        """
        self._flush()
        is_durable, self._is_durable = self._is_durable, True
        return is_durable

    def rotate(self, now_us: int) -> Segment:
        """Close the active segment, return it, and go on in a new one."""
        self._flush()
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
            adopted = adopt_directory(directory) if directory != self._directory else None
            if adopted is not None:
                self.size += sum(segment.size for segment in adopted.segments)
                yield adopted

    def close(self) -> None:
        """Let go of the directory; removed when nothing is left to prove, else adopted by the next."""
        if self._directory is None:
            return
        self._flush()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            if self.active.size == 0:
                self.active.path.unlink()
        if not has_segments(self._directory):
            remove_directory(self._directory)
        os.close(self._lock)

    def _flush(self) -> None:
        if not self._unsynced:
            return
        self._unsynced = False
        try:
            os.fdatasync(self._descriptor)
        except OSError as exc:
            self._is_durable = False
            self.flush_failures += 1
            logger().error(
                "journal_flush_failed",
                segment=self.active.path.name,
                errno=exc.errno,
                consequence="what was not flushed is answered 503; it goes on in a new file",
            )

    def _open_segment(self, now_us: int) -> bool:
        """Open the next segment; on a full disk leave none open, `append` tries again."""
        self._descriptor = -1
        try:
            if self._directory is None:
                self._directory, self._lock = claim_directory(self._root)
            self._number += 1
            self.active = Segment(
                self._directory / f"{self._number:08d}{SEGMENT_SUFFIX}", opened_at_us=now_us
            )
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
            self._descriptor = os.open(self.active.path, flags, 0o600)
            if self._fsync:
                sync_directory(self._directory)
        except OSError:
            self.active = Segment(self._root, opened_at_us=now_us)
        return self._descriptor >= 0
