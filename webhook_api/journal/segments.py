"""Encode the journal's records, and read back the segments that wait to be published.

```
magic 4 │ properties length 2 │ body length 4 │ CRC-32 of both 4 │ properties │ body
```

The magic number lets a reader find the next record after damage. All numbers are little-endian.
"""

import struct
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from zlib import crc32

from messaging.log import logger
from webhook_api.journal.directory import Segment

MAGIC: Final = b"\x89OMJ"
HEADER: Final = struct.Struct("<4sHII")
RECORD_BYTES: Final = HEADER.size
"""Size of a record without its properties and its body, in bytes."""

RETRY_SECONDS: Final = 5.0
"""Pause between a failed attempt to read or publish a segment and the next attempt."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An event in the journal: its envelope, encoded as AMQP content properties, and its raw body."""

    properties: bytes
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes of a segment that belong to no readable record: *size* bytes at *offset*."""

    offset: int
    size: int


def encode_header(properties: bytes, body: bytes) -> bytes:
    """Return the first bytes of a record, which precede *properties* and *body*."""
    return HEADER.pack(MAGIC, len(properties), len(body), crc32(body, crc32(properties)))


def encode_records(events: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the concatenated records of events, each given as its properties and body."""
    parts: list[bytes] = []
    for properties, body in events:
        parts += (encode_header(properties, body), properties, body)
    return b"".join(parts)


def read_segment(path: Path) -> Iterator[Entry | Damage]:
    """Yield the entries of a segment in order, and each stretch of damage that is skipped between them.

    A truncated last record counts as damage. A request whose record was cut off by a kill never got a 200.
    """
    data = path.read_bytes()
    offset = 0
    while offset < len(data):
        entry, end = _read_entry(data, offset)
        if entry is None:
            end = _find_entry(data, offset + 1)
            yield Damage(offset, end - offset)
        else:
            yield entry
        offset = end


def _read_entry(data: bytes, offset: int) -> tuple[Entry | None, int]:
    start = offset + HEADER.size
    if start > len(data):
        return None, offset
    magic, properties_size, body_size, checksum = HEADER.unpack_from(data, offset)
    middle = start + properties_size
    end = middle + body_size
    # Refuse an empty body: after a power cut, zeros can follow the magic, and the CRC of no bytes is zero.
    if magic != MAGIC or not body_size or end > len(data):
        return None, offset
    properties, body = data[start:middle], data[middle:end]
    if crc32(body, crc32(properties)) != checksum:
        return None, offset
    return Entry(properties, body), end


def _find_entry(data: bytes, offset: int) -> int:
    """Return the offset of the next readable record, or the end of the data if there is none."""
    while (offset := data.find(MAGIC, offset)) >= 0:
        if _read_entry(data, offset)[0] is not None:
            return offset
        offset += 1
    return len(data)


class Backlog:
    """The closed segments that wait to be published, in order; the first might be partly read.

    A segment that cannot be read now (no free descriptor or memory, a disk error, changed permissions) stays
    on the disk and is tried again, because such an error does not mean that the segment is damaged. A segment
    with an oversized event that cannot be set aside now is also tried again. *now* returns monotonic seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._segments: deque[Segment] = deque()
        self._postponed: deque[Segment] = deque()
        self._logged: set[str] = set()
        self._retry_at = 0.0
        self._reader: Iterator[Entry | Damage] | None = None

    def __len__(self) -> int:
        return len(self._segments)

    @property
    def segments(self) -> tuple[Segment, ...]:
        """All segments of the backlog, including postponed segments."""
        return (*self._postponed, *self._segments)

    @property
    def is_between_segments(self) -> bool:
        """Whether the next `read` begins with the first event of a segment."""
        return self._reader is None

    @property
    def size(self) -> int:
        """Size of all segments in bytes, including bytes that were already read."""
        return sum(segment.size for segment in self.segments)

    @property
    def postponed(self) -> int:
        """The number of postponed segments, which wait to be tried again."""
        return len(self._postponed)

    def extend(self, segments: Iterable[Segment]) -> None:
        """Add segments that are newer than all segments of the backlog."""
        self._segments.extend(segments)

    def restore(self, segments: list[Segment]) -> None:
        """Put back segments whose publishing was interrupted, and start again with the first of them.

        Postponed segments are put back too, because the broker might have lost their other events.
        """
        self._reader = None
        self._segments.extendleft(reversed(segments))
        self._segments.extend(self._postponed)
        self._postponed.clear()

    def postpone(self, segment: Segment) -> None:
        """Put back a segment that was read, so that it is tried again later from its beginning."""
        self._postponed.append(segment)
        now = self._now()
        if now >= self._retry_at:
            self._retry_at = now + RETRY_SECONDS

    def retry_postponed(self) -> None:
        """Put one postponed segment back if no other segment is waiting and the pause before a retry is over.

        Every retry publishes the segment's other events again; frequent retries would fill the queue.
        """
        if self._postponed and not self._segments and self._now() >= self._retry_at:
            self._segments.append(self._postponed.popleft())

    def read(self, limit: int) -> tuple[list[Entry], Segment | None]:
        """Read up to *limit* more events from one segment.

        Return the events and, if the segment was read to its end and so left the backlog, the segment.
        """
        entries: list[Entry] = []
        while self._segments and len(entries) < limit:
            segment = self._segments[0]
            if self._reader is None:
                self._reader = read_segment(segment.path)
            try:
                record = next(self._reader, None)
                if isinstance(record, Damage):
                    _mark_damaged(segment, record)
                elif record is not None:
                    entries.append(record)
            except FileNotFoundError:
                logger().error("journal_segment_missing", segment=segment.path.name)
                record = None
            except Exception as exc:  # noqa: BLE001  # any error ends the reader, as the end of the segment does
                self._skip_unreadable(exc)
                break
            if record is None:
                self._reader = None
                return entries, self._segments.popleft()
        return entries, None

    def _skip_unreadable(self, error: Exception) -> None:
        """Skip the first segment, and read it again later from its beginning."""
        self._reader = None
        segment = self._segments.popleft()
        self.postpone(segment)
        if segment.path.name not in self._logged:
            self._logged.add(segment.path.name)
            consequence = "the segment is kept and is tried again"
            facts = {"errno": getattr(error, "errno", None), "error": type(error).__name__}
            logger().error(
                "journal_segment_unreadable", segment=segment.name, **facts, consequence=consequence
            )


def _mark_damaged(segment: Segment, damage: Damage) -> None:
    segment.is_damaged = True
    consequence = "readable events are recovered; the file is kept in the directory `damaged`"
    facts = {"segment": segment.name, "offset": damage.offset, "bytes": damage.size}
    logger().error("journal_segment_damaged", **facts, consequence=consequence)
