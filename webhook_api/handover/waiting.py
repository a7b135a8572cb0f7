"""Hold the journal segments that wait to be published, and read them slice by slice."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from messaging.log import logger
from webhook_api.journal.segment_file import Damage, read_segment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from webhook_api.journal.directory import Segment
    from webhook_api.journal.segment_file import Entry


class WaitingSegments:
    """Closed segments, oldest first; the first may have been read in part."""

    def __init__(self) -> None:
        self._segments: deque[Segment] = deque()
        self._reader: Iterator[Entry | Damage] | None = None

    def __len__(self) -> int:
        return len(self._segments)

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The segments, oldest first."""
        return tuple(self._segments)

    @property
    def size(self) -> int:
        """Bytes in the segments, those already read included."""
        return sum(segment.size for segment in self._segments)

    def extend(self, segments: Iterable[Segment]) -> None:
        """Add segments that are newer than all here."""
        self._segments.extend(segments)

    def restore(self, segments: list[Segment]) -> None:
        """Put back segments whose publishing was interrupted, and start over with all of them."""
        self._reader = None
        self._segments.extendleft(reversed(segments))

    def take(self, limit: int) -> tuple[list[Entry], list[Segment]]:
        """Read up to *limit* further events.

        Returns:
            The events, and the segments that end with them, no longer here.
        """
        entries: list[Entry] = []
        finished: list[Segment] = []
        while self._segments and len(entries) < limit:
            segment = self._segments[0]
            if self._reader is None:
                self._reader = read_segment(segment.path)
            record = self._next_record(segment)
            if record is None:
                self._reader = None
                finished.append(self._segments.popleft())
            elif isinstance(record, Damage):
                _tell(segment, record)
            else:
                entries.append(record)
        return entries, finished

    def _next_record(self, segment: Segment) -> Entry | Damage | None:
        assert self._reader is not None
        try:
            return next(self._reader, None)
        except OSError as exc:
            segment.is_damaged = segment.path.exists()
            logger().error("journal_segment_unreadable", segment=segment.path.name, errno=exc.errno)
            return None


def _tell(segment: Segment, damage: Damage) -> None:
    segment.is_damaged = True
    logger().error(
        "journal_segment_damaged",
        segment=f"{segment.path.parent.name}/{segment.path.name}",
        offset=damage.offset,
        bytes=damage.size,
        consequence="what is readable is recovered; the file is kept in the directory `damaged`",
    )
