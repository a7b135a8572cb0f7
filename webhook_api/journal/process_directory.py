"""Manage this process's journal directory, and adopt the segments of dead processes.

A process adopts a segment with a single rename. So the segment always has exactly one owner and is counted
once, even if the process crashes. Each process has an equal share of the host's limit, and adopts only
segments that fit into its share. Segments that fit into no share still count towards the host's limit, and so
do the segments that belong to the processes of an earlier gunicorn master.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from messaging.log import logger
from webhook_api.journal.directory import (
    Segment,
    create_directory,
    foreign_entries,
    journal_directories,
    list_segments,
    lock_directory,
    remove_directory,
    remove_status,
    segment_path,
)


class ProcessDirectory:
    """Manages this process's directory, and adopts segments from the directories of dead processes.

    *max_bytes* limits the total size of the host's journals; each of *processes* has an equal share. `held`
    is the number of bytes in the directory, including events that are not written yet.
    """

    def __init__(self, root: Path, max_bytes: int, processes: int) -> None:
        self._root = root
        self._max_bytes = max_bytes
        self._share = max_bytes // processes
        # At the first check, adopted segments may fill only half of the share, to leave space for new events.
        self._adoptable = self._share // 2
        self._lock = -1
        self._inherited: list[Segment] = []
        self._undeletable: list[Segment] = []
        self.path: Path | None = None
        self._number = self._held_by_others = self.held = 0
        self.problems: dict[str, str] = {}

    def fits(self, size: int) -> bool:
        """Return whether *size* more bytes stay within this process's share and the host's limit."""
        held = self.held + size
        return held <= self._share and held + self._held_by_others <= self._max_bytes

    @property
    def is_nearly_full(self) -> bool:
        """Whether less than an eighth of a share is free; senders should then use another process."""
        return not self.fits(self._share // 8)

    def next_path(self) -> Path:
        """Return the path of the next segment; create the directory if it does not exist.

        Raises OSError if the disk has no space for a directory and no dead process has left one to reuse.
        """
        directory = self.path or self._settle()
        self._number += 1
        return segment_path(directory, self._number)

    def discard(self, segment: Segment) -> None:
        """Unlink a segment; if it is damaged, move it aside for an operator instead.

        If the disk refuses that, the segment stays, its size still counts, and `adopt` tries again.
        """
        try:
            with suppress(FileNotFoundError):
                if segment.is_damaged:
                    aside = self._root.parent / "damaged"
                    aside.mkdir(mode=0o700, exist_ok=True)
                    segment.path.rename(aside / f"{segment.path.parent.name}-{segment.path.name}")
                else:
                    segment.path.unlink()
        except OSError as exc:
            self._undeletable.append(segment)
            logger().error("journal_segment_stays", segment=segment.path.name, errno=exc.errno)
        else:
            self.held -= segment.size

    def adopt(self) -> list[Segment]:
        """Adopt segments of dead processes that fit into the share, if this process has a directory.

        An entry that cannot be opened, read or moved is skipped and logged once. Every call tries it again,
        and it stays in `problems` until a call succeeds.
        """
        undeletable, self._undeletable = self._undeletable, []
        for segment in undeletable:
            self.discard(segment)
        if self.path is None:
            return []
        known, self.problems = self.problems, {}
        adopted, self._inherited = [*self._inherited, *self._adopt_all(self.path)], []
        for name in self.problems.keys() - known.keys():
            logger().error("journal_entry_skipped", entry=name, reason=self.problems[name])
        return adopted

    def leave_if_removed(self) -> None:
        """Forget the directory if another program removed it; the next segment creates a new directory."""
        if self.path is not None and not self.path.exists():
            logger().error("journal_directory_missing", directory=self.path.name)
            self.path = None
            os.close(self._lock)

    def close(self) -> None:
        """Remove the directory if it is empty, otherwise release it for another process."""
        if self.path is None:
            return
        with suppress(OSError):
            remove_directory(self.path)
        os.close(self._lock)
        self.path = None

    def _settle(self) -> Path:
        try:
            directory, lock = create_directory(self._root)
        except OSError as exc:
            # A full disk might have no space for a directory, so use the directory of a dead process.
            inherited = self._inherit()
            if inherited is None:
                raise
            directory, lock = inherited
            logger().warning("journal_directory_inherited", directory=directory.name, errno=exc.errno)
        try:
            self._inherited = list_segments(directory)
        except OSError:
            # If its segments' numbers are unknown, a segment adopted later could overwrite one of them.
            os.close(lock)
            raise
        self.path, self._lock = directory, lock
        self._number = max((int(segment.path.stem) for segment in self._inherited), default=0)
        self.held += sum(segment.size for segment in self._inherited)
        return directory

    def _adopt_all(self, own: Path) -> Iterator[Segment]:
        try:
            directories = journal_directories(self._root)
            self.problems.update(foreign_entries(self._root))
        except OSError as exc:
            self.problems[self._root.name] = str(exc.strerror)
            return
        others = [directory for directory in directories if directory != own]
        for directory in others:
            try:
                yield from self._adopt_from(directory, own)
            except OSError as exc:
                missing = f"has no lock file and contains {_measure(directory)} bytes of events"
                is_missing = isinstance(exc, FileNotFoundError)
                self.problems[directory.name] = missing if is_missing else str(exc.strerror).lower()
        self._held_by_others = sum(map(_measure, others))
        self._adoptable = self._share

    def _inherit(self) -> tuple[Path, int] | None:
        """Lock and return the directory of a dead process; return None if there is no such directory."""
        for directory in journal_directories(self._root):
            with suppress(OSError):
                if (lock := lock_directory(directory)) is not None:
                    return directory, lock
        return None

    def _adopt_from(self, directory: Path, own: Path) -> Iterator[Segment]:
        lock = lock_directory(directory)
        if lock is None:
            return
        moved = []
        try:
            remove_status(directory)
            for segment in list_segments(directory):
                if segment.size == 0:
                    segment.path.unlink()
                    continue
                # A segment that is larger than the limit is adopted only by a process whose journal is empty.
                if self.held and self.held + segment.size > self._adoptable:
                    self.problems[directory.name] = "waits until a journal has room for its events"
                    return
                self._number += 1
                path = segment.path.rename(segment_path(own, self._number))
                self.held += segment.size
                moved.append(Segment(path, segment.size, segment.opened_at_us))
                yield moved[-1]
            if not remove_directory(directory):
                self.problems[directory.name] = "contains files that do not belong to the journal"
        finally:
            os.close(lock)
            if size := sum(segment.size for segment in moved):
                logger().warning("journal_adopted", directory=directory.name, segments=len(moved), bytes=size)


def _measure(directory: Path) -> int:
    """Return the total size of a directory's segments in bytes; 0 if the directory cannot be read."""
    with suppress(OSError):
        return sum(segment.size for segment in list_segments(directory))
    return 0
