"""Watch whether the journal's disk takes writes, before and after it has refused one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from webhook_api.journal.directory import TRIAL_NAME

if TYPE_CHECKING:
    from pathlib import Path

LOW_BYTES: Final = 64 * 1024
"""Room for less than the larger events that the platform sends: one of the next would be refused."""


class DiskWatch:
    """The last thing that the disk was heard to say.

    Args:
        fsync: Whether it must also be able to flush.
    """

    def __init__(self, *, fsync: bool) -> None:
        self._fsync = fsync
        self.error: str | None = None
        self.is_flush_failing = False
        self.flush_failures = 0

    def refused(self, error: OSError | None = None) -> None:
        """Note that a write or the opening of a file has failed; without an error, that it was cut short."""
        self.error = str(error.strerror) if error else "No space left on device"

    def did_not_flush(self, error: OSError) -> None:
        """Note that a flush has failed: until one succeeds, nothing that is written can be promised."""
        self.refused(error)
        self.is_flush_failing = True
        self.flush_failures += 1

    def look(self, directory: Path) -> None:
        """Bring it up to date: by a trial where something has failed, else by what the disk itself says."""
        if self.error is None:
            self.error = _reported_error(directory)
        else:
            self.error = _trial_error(directory, fsync=self._fsync)
            self.is_flush_failing &= self.error is not None


def _reported_error(directory: Path) -> str | None:
    try:
        facts = os.statvfs(directory)
    except OSError as exc:
        return str(exc.strerror)
    return "No space left on device" if facts.f_bavail * facts.f_frsize < LOW_BYTES else None


def _trial_error(directory: Path, *, fsync: bool) -> str | None:
    """Write, flush and remove a file: a quota, a read-only mount, a failing device are seen by that alone."""
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
    return None if written == LOW_BYTES else "No space left on device"
