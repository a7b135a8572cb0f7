"""Detect when the journal's disk stops accepting writes, and when it accepts them again."""

import os
from pathlib import Path
from typing import Final

from webhook_api.journal.directory import TRIAL_NAME

LOW_BYTES: Final = 64 * 1024
"""If less space than this is free, the disk counts as full, because the next large event might not fit."""

NO_SPACE: Final = "No space left on device"


class DiskHealth:
    """The health of the journal's disk as of the last write or check.

    If *fsync* is true, the disk must also be able to flush.

    `error` is the reason why the disk accepts no writes now, or None. `is_flush_failing` is true from a
    failed flush until a flush succeeds. In the meantime, written events do not count as durable.
    """

    def __init__(self, *, fsync: bool) -> None:
        self._fsync = fsync
        self.error: str | None = None
        self.is_flush_failing = False

    def write_failed(self, error: OSError | None = None) -> None:
        """Record that opening or writing failed; *error* is None if only part of the data was written."""
        self.error = str(error.strerror) if error else NO_SPACE

    def flush_failed(self, error: OSError) -> None:
        """Record that a flush failed."""
        self.write_failed(error)
        self.is_flush_failing = True

    def check(self, directory: Path) -> None:
        """Update the health: try to write if the last write failed, otherwise check the free space."""
        if self.error is not None:
            self.error = _try_write(directory, fsync=self._fsync)
            self.is_flush_failing &= self.error is not None
            return
        try:
            facts = os.statvfs(directory)
            self.error = NO_SPACE if facts.f_bavail * facts.f_frsize < LOW_BYTES else None
        except OSError as exc:
            self.write_failed(exc)


def _try_write(directory: Path, *, fsync: bool) -> str | None:
    """Write, flush and remove a file: only this reveals a quota, a read-only mount or a failing device."""
    path = directory / TRIAL_NAME
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            written = os.write(descriptor, bytes(LOW_BYTES))
            if fsync:
                os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
            path.unlink()
    except OSError as exc:
        return str(exc.strerror)
    return None if written == LOW_BYTES else NO_SPACE
