"""Append accepted events to this process's segments, and remove the segments of proven events.

All events that are appended in one turn of the loop are written by a single `write` (docs/decisions/0186).
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from messaging.log import logger
from webhook_api.journal.directory import Segment, sync_directory
from webhook_api.journal.disk import DiskHealth
from webhook_api.journal.process_directory import ProcessDirectory
from webhook_api.journal.segments import RECORD_BYTES, encode_records

SEGMENT_BYTES: Final = 1024 * 1024
"""Size at which a segment is closed. It limits memory, because a segment is read as a whole."""

LOOK_SECONDS: Final = 5.0
"""Interval between searches for the directories of dead processes, in order to adopt their segments."""


class JournalFullError(Exception):
    """Respond with 503 so that the platform retries: the journal is full, or the disk refuses the event."""


class Journal:
    """This process's journal, below *root*; see `ProcessDirectory` for *max_bytes* and *processes*.

    If *fsync* is true, events survive a power cut once `sync` has flushed them.

    `is_nearly_full` is true when senders should use another process, because this one will soon refuse them.
    """

    def __init__(self, root: Path, max_bytes: int, processes: int, *, fsync: bool, now_us: int) -> None:
        self._root = root
        self._fsync = fsync
        self._own = ProcessDirectory(root, max_bytes, processes)
        self._disk = DiskHealth(fsync=fsync)
        self._descriptor = -1
        self._appended: list[tuple[bytes, bytes]] = []
        self._appended_bytes = 0
        self._refused_bytes = 1
        self._unsynced = False
        self._is_durable = True
        self._is_full = self.is_nearly_full = False
        self._next_look = 0.0
        self.active = Segment(root)
        self._open_segment(now_us)

    @property
    def directory(self) -> Path | None:
        """This process's directory; None while the disk has no space for a directory."""
        return self._own.path

    @property
    def refusal(self) -> str | None:
        """Why an event as large as the last refused event would be refused now; None if it would fit."""
        if self._disk.error is not None:
            return f"the journal cannot be written: {self._disk.error.lower()}"
        if not self._own.fits(self._refused_bytes):
            return "the journal is full"
        self._refused_bytes = 1
        return None

    def status(self) -> dict[str, object]:
        """Return the journal's part of a health report. Sizes are in bytes."""
        return {
            "bytes": self._own.held,
            "is_nearly_full": self.is_nearly_full,
            "refusal": self.refusal,
            "skipped": self._own.problems,
        }

    def append(self, properties: bytes, body: bytes) -> None:
        """Keep an event for the next `write`; raise JournalFullError if it does not fit or the disk fails."""
        size = RECORD_BYTES + len(properties) + len(body)
        if self._descriptor < 0:
            self._open_segment(self.active.opened_at_us)
        if not self._own.fits(size):
            self._refused_bytes = size
        elif self._descriptor >= 0 and not self._disk.is_flush_failing:
            self._own.held += size
            self._appended.append((properties, body))
            self._appended_bytes += size
            return
        self._log_full(is_full=True)
        raise JournalFullError

    def write(self) -> list[tuple[bytes, bytes]]:
        """Write all events that were appended since the last call, or none of them.

        Return the written events (properties and body), which are now in the active segment and survive a
        crash of this process. If the disk refused them, return an empty list; `sync` then returns False.
        """
        events, self._appended = self._appended, []
        size, self._appended_bytes = self._appended_bytes, 0
        if not events:
            return events
        if self._descriptor >= 0 and self._write(encode_records(events)):
            self.active.size += size
            self.active.events += len(events)
            self._unsynced = self._fsync
            self._log_full(is_full=False)
            self.is_nearly_full = self._own.is_nearly_full
            return events
        self._own.held -= size
        self._is_durable = False
        self._log_full(is_full=True)
        return []

    def sync(self) -> bool:
        """Return whether all events since the last call are durable; if *fsync* is true, wait for a flush.

        After a failure, call `rotate` and write no more to the file: Linux marks the pages that it could not
        write as clean, so a second flush would succeed without writing them.
        """
        self._flush()
        is_durable, self._is_durable = self._is_durable, True
        return is_durable

    def rotate(self, now_us: int) -> Segment:
        """Close and return the active segment; open a new segment for events that are not written yet."""
        self._flush()
        closed = self.active
        self._close_segment()
        self._open_segment(now_us)
        return closed

    def discard(self, segment: Segment) -> None:
        """Remove a proven segment."""
        self._own.discard(segment)

    def tend(self, now: float) -> list[Segment]:
        """Check the disk; every few seconds, also adopt segments of dead processes, and return them."""
        if self._descriptor < 0:
            self._open_segment(self.active.opened_at_us)
        if self._descriptor >= 0 and self.directory is not None:
            self._disk.check(self.directory)
        adopted = []
        # At the limit, search sooner: a segment that was moved during a search might have been counted twice.
        if now >= self._next_look or not self._own.fits(0):
            self._next_look = now + LOOK_SECONDS
            adopted = self._own.adopt()
        self.is_nearly_full = self._own.is_nearly_full
        return adopted

    def close(self) -> None:
        """Remove the directory if it has no unproven events, otherwise release it for another process."""
        self.write()
        self._flush()
        if self._descriptor >= 0:
            self._close_segment()
            if self.active.size == 0:
                with suppress(OSError):
                    self.active.path.unlink()
        self._own.close()

    def _write(self, records: bytes) -> bool:
        """Append all records to the active segment, or none of them; return whether that succeeded."""
        written = 0
        try:
            written = os.write(self._descriptor, records)
            if written == len(records):
                return True
            os.ftruncate(self._descriptor, self.active.size)
            self._disk.write_failed()
        except OSError as exc:
            # Count the bytes that stay in the file, so that the segment is closed and removed as usual.
            self.active.size += written
            self._own.held += written
            self._disk.write_failed(exc)
        return False

    def _flush(self) -> None:
        if not self._unsynced:
            return
        self._unsynced = False
        try:
            os.fdatasync(self._descriptor)
        except OSError as exc:
            self._is_durable = False
            self._disk.flush_failed(exc)
            logger().error(
                "journal_flush_failed",
                segment=self.active.path.name,
                errno=exc.errno,
                consequence="events that were not flushed are answered 503, until the disk flushes again",
            )

    def _log_full(self, *, is_full: bool) -> None:
        """Log the first refusal of a series, and the first event written after the series."""
        was_full, self._is_full = self._is_full, is_full
        if is_full and not was_full:
            logger().error("journal_full", consequence="senders are answered 503 until there is space")
        elif was_full and not is_full:
            logger().info("journal_has_room")

    def _open_segment(self, now_us: int) -> None:
        """Open the next segment. If that fails, no segment is open; `append` and `tend` then try again."""
        self.active = Segment(self._root, opened_at_us=now_us)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        try:
            path = self._own.next_path()
            self._descriptor = os.open(path, flags, 0o600)
            if self._fsync:
                # Flush the directory: otherwise, the new file's name might not survive a power cut.
                sync_directory(path.parent)
        except OSError as exc:
            self._disk.write_failed(exc)
            if self._descriptor >= 0:
                with suppress(OSError):
                    path.unlink()
            self._close_segment()
            self._own.leave_if_removed()
        else:
            self.active = Segment(path, opened_at_us=now_us)

    def _close_segment(self) -> None:
        if self._descriptor >= 0:
            with suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = -1
