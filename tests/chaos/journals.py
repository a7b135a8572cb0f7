"""Read the edge's files on disk according to their documented format, without using the edge's code."""

from __future__ import annotations

import struct
import zlib
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAGIC = b"\x89OMJ"
HEADER = struct.Struct("<4sHII")
"""A record's header, as docs/operations.md describes it: magic, lengths of properties and body, CRC-32."""


@dataclass(frozen=True, slots=True)
class Record:
    """One readable record: its body, and the offset of the body in the file."""

    offset: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Journals:
    """The journals and other files in an edge's state directory.

    Args:
        state: The directory that OM_STATE_DIRECTORY names.
    """

    state: Path

    @property
    def root(self) -> Path:
        """The directory in which each edge process has a directory of its own."""
        return self.state / "journal"

    def segments(self, of: str = "*") -> list[Path]:
        """Return the non-empty segments in all directories whose names match the pattern *of*."""
        return [path for path in sorted(self.root.glob(f"{of}/*.segment")) if _size(path)]

    @property
    def size(self) -> int:
        """The number of bytes in all segments that are not proven yet."""
        return sum(_size(path) for path in self.segments())

    def bodies(self) -> list[bytes]:
        """Return the bodies of all readable records in the journals."""
        return [record.body for path in self.segments() for record in records_in(path)]

    def aside(self, name: str) -> list[Path]:
        """Return the files that the edge has set aside in the state directory's subdirectory *name*."""
        return sorted(path for path in (self.state / name).glob("**/*") if path.is_file())


def records_in(path: Path) -> list[Record]:
    """Return the readable records of a file; the list is empty if the file has just been deleted."""
    with suppress(FileNotFoundError):
        return list(_records(path.read_bytes()))
    return []


def _records(data: bytes) -> Iterator[Record]:
    offset = 0
    while (offset := data.find(MAGIC, offset)) >= 0:
        record = _record_at(data, offset)
        if record is not None:
            yield record
        offset = offset + 1 if record is None else record.offset + len(record.body)


def _record_at(data: bytes, offset: int) -> Record | None:
    begin = offset + HEADER.size
    if begin > len(data):
        return None
    _, properties, body, checksum = HEADER.unpack_from(data, offset)
    content = data[begin : begin + properties + body]
    if len(content) < properties + body or zlib.crc32(content) != checksum:
        return None
    return Record(begin + properties, content[properties:])


def _size(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_size
    return 0
