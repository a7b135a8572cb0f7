"""Write and read the journal's records: length, checksum, properties, body.

```
magic 4 │ properties length 2 │ body length 4 │ CRC-32 of both 4 │ properties │ body
```

The magic lets a reader find the next record behind damage. All numbers are little-endian.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

MAGIC: Final = b"\x89OMJ"
HEADER: Final = struct.Struct("<4sHII")
RECORD_BYTES: Final = HEADER.size
"""What a record takes beside its properties and its body."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One journalled event.

    Args:
        properties: Its envelope, as AMQP content properties.
        body: The raw body.
    """

    properties: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes of a segment that hold no readable record.

    Args:
        offset: Where they start.
        size: How many they are.
    """

    offset: int
    size: int


def record_header(properties: bytes, body: bytes) -> bytes:
    """Return what stands before *properties* and *body* in the file."""
    return HEADER.pack(MAGIC, len(properties), len(body), crc32(body, crc32(properties)))


def records_of(events: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return whole records, one after the other.

    Args:
        events: Properties and body of each.
    """
    parts: list[bytes] = []
    for properties, body in events:
        parts += (record_header(properties, body), properties, body)
    return b"".join(parts)


def read_segment(path: Path) -> Iterator[Entry | Damage]:
    """Yield what a segment holds, in order; what cannot be read is told and stepped over.

    A last record cut short is damage too: its request was never answered 200.
    """
    data = path.read_bytes()
    offset = 0
    while offset < len(data):
        entry, end = _entry_at(data, offset)
        if entry is None:
            end = _next_entry(data, offset + 1)
            yield Damage(offset, end - offset)
        else:
            yield entry
        offset = end


def _entry_at(data: bytes, offset: int) -> tuple[Entry | None, int]:
    start = offset + HEADER.size
    if start > len(data):
        return None, offset
    magic, properties_size, body_size, checksum = HEADER.unpack_from(data, offset)
    middle = start + properties_size
    end = middle + body_size
    if magic != MAGIC or end > len(data):
        return None, offset
    properties, body = data[start:middle], data[middle:end]
    if crc32(body, crc32(properties)) != checksum:
        return None, offset
    return Entry(properties, body), end


def _next_entry(data: bytes, offset: int) -> int:
    """Return where the next readable record starts, or the end of the data."""
    while (offset := data.find(MAGIC, offset)) >= 0:
        if _entry_at(data, offset)[0] is not None:
            return offset
        offset += 1
    return len(data)
