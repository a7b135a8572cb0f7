"""Keep every accepted event in files of this process until it is proven to be in the broker.

Three verbs: `append` an event, read it back (waiting.py), `discard` a segment of them that is proven. What is
appended in one turn of the loop is kept by one `write` (docs/decisions/0186).
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from messaging.log import logger
from webhook_api.journal.directory import Segment, sync_directory
from webhook_api.journal.disk import DiskWatch
from webhook_api.journal.home import Home
from webhook_api.journal.removal import Removal
from webhook_api.journal.segment_file import RECORD_BYTES, records_of

if TYPE_CHECKING:
    from pathlib import Path

    from webhook_api.journal.limit import HostLimit

SEGMENT_BYTES: Final = 1024 * 1024
"""A segment is read as a whole for republishing, so this bounds the memory of recovery."""

LOOK_SECONDS: Final = 5.0
"""Between looks at the other directories: a process's death costs its events no more delay than this."""


class JournalFullError(Exception):
    """The event was not kept, by the limit or by the disk: answer 503, the platform sends it again."""


class Journal:
    """This process's directory and the segment being written.

    Args:
        root: The journal directory of the host.
        limit: What all journals of the host may hold together.
        fsync: Whether `sync` makes what was appended durable against a power cut.
        now_us: Microseconds since the epoch.
    """

    def __init__(self, root: Path, limit: HostLimit, *, fsync: bool, now_us: int) -> None:
        self._root = root
        self._limit = limit
        self._fsync = fsync
        self._home = Home(root, limit)
        self._disk = DiskWatch(fsync=fsync)
        self._descriptor = -1
        self._appended: list[tuple[bytes, bytes]] = []
        self._appended_bytes = 0
        self._unsynced = False
        self._is_kept = True
        self._is_full = False
        self._removal = Removal(root, limit)
        self._next_look = 0.0
        self.active = Segment(root)
        self._open_segment(now_us)

    @property
    def directory(self) -> Path | None:
        """This process's own directory; None while the disk has no room for one."""
        return self._home.directory

    @property
    def size(self) -> int:
        """Bytes in this process's directory."""
        return self._limit.held

    @property
    def refusal(self) -> str | None:
        """Why the next event would not be kept, in words, or None."""
        if self._disk.error is not None:
            return f"the journal cannot be written: {self._disk.error.lower()}"
        return "the journal is full" if self._limit.is_reached else None

    def status(self) -> dict[str, object]:
        """Return what health reports show of it; sizes in bytes."""
        return {
            "directory": self.directory.name if self.directory else None,
            "bytes": self.size,
            "refusal": self.refusal,
            "skipped": self._home.problems,
            "flush_failures": self._disk.flush_failures,
            "adopted_directories": self._home.adopted_directories,
        }

    def append(self, properties: bytes, body: bytes) -> None:
        """Take one event in; it is kept by the next `write`.

        Raises:
            JournalFullError: The limit is reached or the disk takes nothing now; it was not taken in.
        """
        size = RECORD_BYTES + len(properties) + len(body)
        if self._descriptor < 0:
            self._open_segment(self.active.opened_at_us)
        if self._descriptor < 0 or self._disk.is_flush_failing or not self._limit.take(size):
            self._tell_full(is_full=True)
            raise JournalFullError
        self._appended.append((properties, body))
        self._appended_bytes += size

    def write(self) -> list[tuple[bytes, bytes]]:
        """Write what was appended since the last call, all of it or nothing.

        Returns:
            Properties and bodies of the events that are now durable against the end of this process, in the
            active segment; none where the disk did not take them, which `sync` tells.
        """
        events, self._appended = self._appended, []
        size, self._appended_bytes = self._appended_bytes, 0
        if not events:
            return events
        if self._descriptor >= 0 and self._write(records_of(events)):
            self.active.size += size
            self.active.events += len(events)
            self._unsynced = self._fsync
            self._tell_full(is_full=False)
            return events
        self._limit.give_back(size)
        self._is_kept = False
        self._tell_full(is_full=True)
        return []

    def sync(self) -> bool:
        """Make durable what was written since the last call, if `fsync`; blocks for the disk's flush.

        Returns:
            Whether all that was appended since is kept so. After a failure call `rotate` and write no more to
            that file: Linux takes the pages that it could not write for clean, so that a second flush would
            succeed without them.
        """
        self._flush()
        is_kept, self._is_kept = self._is_kept, True
        return is_kept

    def rotate(self, now_us: int) -> Segment:
        """Close the active segment, return it, and go on in a new one; what is not written yet goes there."""
        self._flush()
        closed = self.active
        self._close_segment()
        self._open_segment(now_us)
        return closed

    def discard(self, segment: Segment) -> None:
        """Let go of a proven segment; a damaged one is kept aside for a person to look at.

        What the disk does not let go of stays, is counted, and is tried again by `tend`.
        """
        self._removal.remove(segment)

    def tend(self, now: float) -> list[Segment]:
        """See whether the disk takes events, and after some seconds look after the host's directories.

        Args:
            now: Monotonic seconds.

        Returns:
            Segments that dead processes have left, this process's from now on: publish them.
        """
        if self._descriptor < 0:
            self._open_segment(self.active.opened_at_us)
        if self._descriptor >= 0 and self.directory is not None:
            self._disk.look(self.directory)
        if now < self._next_look:
            return []
        self._next_look = now + LOOK_SECONDS
        self._removal.try_again()
        return self._home.adopt()

    def close(self) -> None:
        """Let go of the directory; removed when nothing is left to prove, else adopted by the next."""
        self.write()
        self._flush()
        if self._descriptor >= 0:
            self._close_segment()
            if self.active.size == 0:
                self.active.path.unlink(missing_ok=True)
        self._home.leave()

    def _write(self, records: bytes) -> bool:
        """Append whole or not at all."""
        try:
            if os.write(self._descriptor, records) == len(records):
                return True
            os.ftruncate(self._descriptor, self.active.size)
            self._disk.refused()
        except OSError as exc:
            self._disk.refused(exc)
        return False

    def _flush(self) -> None:
        if not self._unsynced:
            return
        self._unsynced = False
        try:
            os.fdatasync(self._descriptor)
        except OSError as exc:
            self._is_kept = False
            self._disk.did_not_flush(exc)
            logger().error(
                "journal_flush_failed",
                segment=self.active.path.name,
                errno=exc.errno,
                consequence="what was not flushed is answered 503, until the disk flushes again",
            )

    def _tell_full(self, *, is_full: bool) -> None:
        """Log the first refusal and the first event kept again, not each of thousands."""
        if is_full and not self._is_full:
            logger().error("journal_full", consequence="senders are told 503 until there is room")
        if self._is_full and not is_full:
            logger().info("journal_has_room")
        self._is_full = is_full

    def _open_segment(self, now_us: int) -> None:
        """Open the next segment; where that fails leave none open, `append` and `tend` try again."""
        self.active = Segment(self._root, opened_at_us=now_us)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        try:
            path = self._home.next_path()
            self._descriptor = os.open(path, flags, 0o600)
            if self._fsync:
                # Nothing is in it yet; without this its name may not outlive a power cut.
                sync_directory(path.parent)
        except OSError as exc:
            self._disk.refused(exc)
            self._close_segment()
            self._home.forget()
        else:
            self.active = Segment(path, opened_at_us=now_us)

    def _close_segment(self) -> None:
        if self._descriptor >= 0:
            with suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = -1
