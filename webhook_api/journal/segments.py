"""Write the journal's records, and read back the segments that wait to be published.

```
magic 4 │ properties length 2 │ body length 4 │ CRC-32 of both 4 │ properties │ body
```

The magic lets a reader find the next record behind damage. All numbers are little-endian.
"""

import struct
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zlib import crc32

from messaging.log import logger
from webhook_api.journal.directory import Segment

MAGIC: Final = b"\x89OMJ"
HEADER: Final = struct.Struct("<4sHII")
RECORD_BYTES: Final = HEADER.size
"""Bytes of a record without its properties and its body."""

RETRY_SECONDS: Final = 5.0
"""Wait before a segment that could not be opened or read is tried again."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One journalled event: its envelope as AMQP content properties, and its raw body."""

    properties: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class Damage:
    """*size* bytes at *offset* of a segment that are no readable record."""

    offset: int
    size: int


def encode_header(properties: bytes, body: bytes) -> bytes:
    """Return a record's first bytes, before *properties* and *body*."""
    return HEADER.pack(MAGIC, len(properties), len(body), crc32(body, crc32(properties)))


def encode_records(events: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the records of events (properties, body), one after the other."""
    parts: list[bytes] = []
    for properties, body in events:
        parts += (encode_header(properties, body), properties, body)
    return b"".join(parts)


def read_segment(path: Path) -> Iterator[Entry | Damage]:
    """Yield a segment's entries in order, and the damage that is skipped between them.

    A truncated last record is damage too: its request was never answered 200.
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
    # Bodies are not empty. After a power cut, zeros may follow the magic, and the CRC of no bytes is zero.
    if magic != MAGIC or not body_size or end > len(data):
        return None, offset
    properties, body = data[start:middle], data[middle:end]
    if crc32(body, crc32(properties)) != checksum:
        return None, offset
    return Entry(properties, body), end


def _find_entry(data: bytes, offset: int) -> int:
    """Return the start of the next readable record, or the end of the data."""
    while (offset := data.find(MAGIC, offset)) >= 0:
        if _read_entry(data, offset)[0] is not None:
            return offset
        offset += 1
    return len(data)


class Backlog:
    """Closed segments in the order of publishing; the first may have been read in part.

    A segment that cannot be read now (no free descriptor, an error of the disk, changed permissions) stays on
    the disk and is tried again, because such an error does not mean that it is damaged.
    """

    def __init__(self) -> None:
        self._segments: deque[Segment] = deque()
        self._unreadable: list[Segment] = []
        self._logged: set[str] = set()
        self._retry_at = 0.0
        self._reader: Iterator[Entry | Damage] | None = None

    def __len__(self) -> int:
        return len(self._segments)

    @property
    def segments(self) -> tuple[Segment, ...]:
        """All segments, including those that could not be read."""
        return (*self._unreadable, *self._segments)

    @property
    def size(self) -> int:
        """Bytes in the segments, including bytes that were already read."""
        return sum(segment.size for segment in self.segments)

    @property
    def unreadable(self) -> int:
        """The number of segments that could not be read when they were last tried."""
        return len(self._unreadable)

    def extend(self, segments: Iterable[Segment]) -> None:
        """Add segments that are newer than all segments here."""
        self._segments.extend(segments)

    def restore(self, segments: list[Segment]) -> None:
        """Put back segments whose publishing was interrupted, and start over with all of them."""
        self._reader = None
        self._segments.extendleft(reversed(segments))

    def retry_unreadable(self, now: float) -> None:
        """Put unreadable segments back, after all others, every few seconds."""
        if self._unreadable and now >= self._retry_at:
            self._retry_at = now + RETRY_SECONDS
            unreadable, self._unreadable = self._unreadable, []
            self.extend(unreadable)

    def read(self, limit: int) -> tuple[list[Entry], list[Segment]]:
        """Read up to *limit* further events; stop early at a segment that cannot be read.

        Return the events, and the segments that were read to their end, which are removed from the backlog.
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
                self._skip_unreadable(exc)
                break
            if record is None:
                self._reader = None
                finished.append(self._segments.popleft())
            elif isinstance(record, Damage):
                _mark_damaged(segment, record)
            else:
                entries.append(record)
        return entries, finished

    def _skip_unreadable(self, error: OSError) -> None:
        """Continue with the others; a file is read as a whole, so nothing of this one was published."""
        self._reader = None
        segment = self._segments.popleft()
        self._unreadable.append(segment)
        if segment.path.name not in self._logged:
            self._logged.add(segment.path.name)
            consequence = "it stays where it is and is tried again"
            logger().error(
                "journal_segment_unreadable", segment=segment.name, errno=error.errno, consequence=consequence
            )


def _mark_damaged(segment: Segment, damage: Damage) -> None:
    segment.is_damaged = True
    consequence = "readable events are recovered; the file is kept in the directory `damaged`"
    facts = {"segment": segment.name, "offset": damage.offset, "bytes": damage.size}
    logger().error("journal_segment_damaged", **facts, consequence=consequence)
