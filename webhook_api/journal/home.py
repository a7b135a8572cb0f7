"""Own this process's directory among the journals of the host, and adopt what dead processes left.

Segments of a dead process are moved here, one rename each, so that they have one owner, one place and one
account from then on, whenever either of the two ends.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from messaging.log import logger
from webhook_api.host_table import TABLE_NAME
from webhook_api.journal.directory import (
    Segment,
    bytes_in,
    claim_directory,
    foreign_entries,
    journal_directories,
    lock_directory,
    remove_directory,
    remove_status,
    segment_number,
    segment_path,
    segments_in,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from webhook_api.journal.limit import HostLimit


class Home:
    """This process's directory, and the way to those of others.

    Args:
        root: The journal directory of the host.
        limit: Accounts for what is held here.
    """

    def __init__(self, root: Path, limit: HostLimit) -> None:
        self._root = root
        self._limit = limit
        self._lock = -1
        self._number = 0
        self._inherited: list[Segment] = []
        self.directory: Path | None = None
        self.adopted_directories = 0
        self.problems: dict[str, str] = {}

    def next_path(self) -> Path:
        """Return where the next segment goes; gets a directory first where there is none.

        Raises:
            OSError: There is neither room for a new directory nor a dead process's to live in.
        """
        directory = self.directory or self._settle()
        self._number += 1
        return segment_path(directory, self._number)

    def adopt(self) -> list[Segment]:
        """Take what has no owner any more; without a directory of one's own, nothing.

        Nothing that lies there can stop this: what may not be opened, read or moved is told once in the log,
        stays in `problems` for as long as it is so, and is tried again the next time.
        """
        if self.directory is None:
            return []
        known, self.problems = self.problems, {}
        if not self._limit.table.is_shared:
            self._join(self.directory)
        taken, self._inherited = [*self._inherited, *self._take_all(self.directory)], []
        for name in self.problems.keys() - known.keys():
            logger().error("journal_entry_skipped", entry=name, reason=self.problems[name])
        return taken

    def forget(self) -> None:
        """Move out of a directory that somebody has removed; the next segment gets another."""
        if self.directory is not None and not self.directory.exists():
            logger().error("journal_directory_missing", directory=self.directory.name)
            self.directory = None
            os.close(self._lock)

    def leave(self) -> None:
        """Let go of the directory: removed where it is empty, else the next process's to adopt."""
        if self.directory is None:
            return
        with suppress(OSError):
            if remove_directory(self.directory):
                self._limit.table.drop(self.directory.name)
        self._limit.table.close()
        os.close(self._lock)
        self.directory = None

    def _settle(self) -> Path:
        try:
            directory, self._lock = claim_directory(self._root)
        except OSError as exc:
            # A full disk may have no room for one more, and gets room only when what is there is published.
            inherited = self._inherit()
            if inherited is None:
                raise
            directory, self._lock = inherited
            logger().warning("journal_directory_inherited", directory=directory.name, errno=exc.errno)
        self.directory = directory
        self._join(directory)
        self._inherited = segments_in(directory)
        self._number = max((segment_number(segment.path) for segment in self._inherited), default=0)
        self._limit.take_anyway(sum(segment.size for segment in self._inherited))
        return directory

    def _inherit(self) -> tuple[Path, int] | None:
        for directory in journal_directories(self._root):
            with suppress(OSError):
                if (lock := lock_directory(directory)) is not None:
                    return directory, lock
        return None

    def _join(self, directory: Path) -> None:
        """Take part in the host's accounts; without them this process keeps to its share."""
        try:
            self._limit.join(directory.name, self._sizes)
        except OSError as exc:
            self.problems[TABLE_NAME] = str(exc.strerror).lower()

    def _sizes(self) -> dict[str, int]:
        return {each.name: bytes_in(each) for each in journal_directories(self._root)}

    def _take_all(self, own: Path) -> Iterator[Segment]:
        try:
            directories = journal_directories(self._root)
            self.problems.update(foreign_entries(self._root))
        except OSError as exc:
            self.problems[self._root.name] = str(exc.strerror)
            return
        for directory in directories:
            if directory != own:
                try:
                    yield from self._take(directory, own)
                except OSError as exc:
                    self.problems[directory.name] = _reason(exc, directory)

    def _take(self, directory: Path, own: Path) -> Iterator[Segment]:
        lock = lock_directory(directory)
        if lock is None:
            return
        taken = []
        try:
            remove_status(directory)
            for segment in segments_in(directory):
                if segment.size == 0:
                    segment.path.unlink()
                    continue
                taken.append(self._move(segment, own))
                yield taken[-1]
            self._limit.table.drop(directory.name)
            if not remove_directory(directory):
                self.problems[directory.name] = "holds files that are not the journal's"
        finally:
            os.close(lock)
            if size := sum(segment.size for segment in taken):
                self.adopted_directories += 1
                logger().warning("journal_adopted", directory=directory.name, segments=len(taken), bytes=size)

    def _move(self, segment: Segment, own: Path) -> Segment:
        """Move a dead process's segment here; counted twice for a moment, never less than once."""
        self._number += 1
        path = segment_path(own, self._number)
        self._limit.take_anyway(segment.size)
        try:
            segment.path.rename(path)
        except OSError:
            self._limit.give_back(segment.size)
            raise
        return Segment(path, segment.size, segment.opened_at_us)


def _reason(error: OSError, directory: Path) -> str:
    if isinstance(error, FileNotFoundError):
        return f"has no lock file; {bytes_in(directory)} bytes of events in it"
    return str(error.strerror).lower()
