"""Read back the journal segments that wait to be published, slice by slice."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from messaging.log import logger
from webhook_api.journal.segment_file import Damage, read_segment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from webhook_api.journal.directory import Segment
    from webhook_api.journal.segment_file import Entry

AGAIN_SECONDS: Final = 5.0
"""Until a segment that could not be opened or read is tried again."""


class WaitingSegments:
    """Closed segments in the order of publishing; the first may have been read in part.

    A segment that cannot be read now (no descriptor is free, the disk has an error, its rights were changed)
    is set aside in memory, stays where it is, and is tried again: nothing of that says that it is damaged.
    """

    def __init__(self) -> None:
        self._segments: deque[Segment] = deque()
        self._unreadable: list[Segment] = []
        self._told: set[str] = set()
        self._again_at = 0.0
        self._reader: Iterator[Entry | Damage] | None = None

    def __len__(self) -> int:
        return len(self._segments)

    @property
    def segments(self) -> tuple[Segment, ...]:
        """All segments, those included that could not be read."""
        return (*self._unreadable, *self._segments)

    @property
    def size(self) -> int:
        """Bytes in the segments, those already read included."""
        return sum(segment.size for segment in self.segments)

    @property
    def unreadable(self) -> int:
        """How many of the segments could not be read when they were last tried."""
        return len(self._unreadable)

    def extend(self, segments: Iterable[Segment]) -> None:
        """Add segments that are newer than all here."""
        self._segments.extend(segments)

    def restore(self, segments: list[Segment]) -> None:
        """Put back segments whose publishing was interrupted, and start over with all of them."""
        self._reader = None
        self._segments.extendleft(reversed(segments))

    def try_again(self, now: float) -> None:
        """Put back what could not be read, behind all others, every few seconds.

        Args:
            now: Seconds of any clock that does not step.
        """
        if self._unreadable and now >= self._again_at:
            self._again_at = now + AGAIN_SECONDS
            unreadable, self._unreadable = self._unreadable, []
            self.extend(unreadable)

    def take(self, limit: int) -> tuple[list[Entry], list[Segment]]:
        """Read up to *limit* further events; stop early at a segment that cannot be read.

        Returns:
            The events, and the segments that end with them, no longer here.
        """
        entries: list[Entry] = []
        finished: list[Segment] = []
        while self._segments and len(entries) < limit:
            segment = self._segments[0]
            if self._reader is None:
                self._reader = read_segment(segment.path)
            try:
                record = next(self._reader, None)
            except FileNotFoundError:
                logger().error("journal_segment_missing", segment=segment.path.name)
                record = None
            except OSError as exc:
                self._set_aside(exc)
                break
            if record is None:
                self._reader = None
                finished.append(self._segments.popleft())
            elif isinstance(record, Damage):
                _tell(segment, record)
            else:
                entries.append(record)
        return entries, finished

    def _set_aside(self, error: OSError) -> None:
        """Make way for the others; the file is read as a whole, so that nothing of it has been published."""
        self._reader = None
        segment = self._segments.popleft()
        self._unreadable.append(segment)
        if segment.path.name not in self._told:
            self._told.add(segment.path.name)
            logger().error(
                "journal_segment_unreadable",
                segment=f"{segment.path.parent.name}/{segment.path.name}",
                errno=error.errno,
                consequence="it is kept where it is and tried again",
            )


def _tell(segment: Segment, damage: Damage) -> None:
    segment.is_damaged = True
    logger().error(
        "journal_segment_damaged",
        segment=f"{segment.path.parent.name}/{segment.path.name}",
        offset=damage.offset,
        bytes=damage.size,
        consequence="what is readable is recovered; the file is kept in the directory `damaged`",
    )
