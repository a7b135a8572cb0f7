"""Share a few numbers between the edge processes of this host, without waiting for each other.

```
<state directory>/journal/.processes      one row per journal directory, the dead processes' too
    key of the directory's name 8 │ bytes held 8 │ events published 8 │ events that may still be published 8
```

A row is written only by the process that owns it; the total of a column is read from all rows. Rows are given
out and taken back under a lock on the file.

A file, and not mapped memory: on a full disk that copies on write, a write to a mapped page kills the process
(SIGBUS). An error here is an OSError that the caller has an answer to.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct
from contextlib import contextmanager
from enum import IntEnum
from itertools import zip_longest
from typing import TYPE_CHECKING, Final

from messaging.log import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

TABLE_NAME: Final = ".processes"
_ROW: Final = struct.Struct("<4q")
_NUMBER: Final = struct.Struct("<q")
_EMPTY: Final = (0, 0, 0, 0)


class Column(IntEnum):
    """What a row tells of its process."""

    HELD = 1
    PUBLISHED = 2
    MAY_PUBLISH = 3


class HostTable:
    """The table, and the row of this process once it has joined.

    Args:
        root: The journal directory of the host.
    """

    def __init__(self, root: Path) -> None:
        self._path = root / TABLE_NAME
        self._descriptor = -1
        self._row = -1

    @property
    def is_shared(self) -> bool:
        """Whether this process has a row; without one it knows of no other."""
        return self._row >= 0

    def join(self, name: str, directories: Callable[[], Mapping[str, int]]) -> None:
        """Take a row, give one to each directory that has none, take back those of directories that are gone.

        Args:
            name: This process's directory.
            directories: Returns all directories, each with the bytes in it. Called under the lock: by an
                older list a process that has joined meanwhile would lose its row.

        Raises:
            OSError: The file can be neither opened nor made, or a directory not read.
        """
        if self._descriptor < 0:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            self._descriptor = os.open(self._path, flags, 0o600)
        with self._locked():
            sizes = {_key(each): size for each, size in directories().items()} | {_key(name): 0}
            before = self._rows()
            rows = _given_out(before, sizes)
            for number, (row, old) in enumerate(zip_longest(rows, before)):
                # The other processes write to theirs meanwhile.
                if row != old:
                    os.pwrite(self._descriptor, _ROW.pack(*row), number * _ROW.size)
            self._row = [row[0] for row in rows].index(_key(name))

    def drop(self, name: str) -> None:
        """Take back the row of a directory that has been emptied."""
        if not self.is_shared:
            return
        with self._locked():
            for number, row in enumerate(self._rows()):
                if row[0] == _key(name):
                    os.pwrite(self._descriptor, _ROW.pack(*_EMPTY), number * _ROW.size)

    def write(self, column: Column, value: int) -> None:
        """Set a number of this process's row."""
        if self.is_shared:
            offset = self._row * _ROW.size + column * _NUMBER.size
            try:
                os.pwrite(self._descriptor, _NUMBER.pack(value), offset)
            except OSError as exc:
                self._leave(exc)

    def others(self, column: Column) -> int:
        """Return the total of a column over all rows but this process's own."""
        if not self.is_shared:
            return 0
        try:
            return sum(row[column] for number, row in enumerate(self._rows()) if number != self._row)
        except OSError as exc:
            self._leave(exc)
            return 0

    def close(self) -> None:
        """Let go of the file; the row stays, with what is still in the directory."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = self._row = -1

    def _leave(self, error: OSError) -> None:
        """Go on without the others; whoever asked this process to join does so again."""
        self._row = -1
        logger().error("host_table_lost", errno=error.errno, consequence="each process keeps to its share")

    def _rows(self) -> list[tuple[int, ...]]:
        data = os.pread(self._descriptor, os.fstat(self._descriptor).st_size, 0)
        return list(_ROW.iter_unpack(data[: len(data) // _ROW.size * _ROW.size]))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)


def _given_out(rows: list[tuple[int, ...]], sizes: Mapping[int, int]) -> list[tuple[int, ...]]:
    """Return the rows with one for each key of *sizes*, and none of any other key."""
    kept = [row if row[0] in sizes else _EMPTY for row in rows]
    for key in sizes.keys() - {row[0] for row in kept}:
        row = (key, sizes[key], 0, 0)
        if _EMPTY in kept:
            kept[kept.index(_EMPTY)] = row
        else:
            kept.append(row)
    return kept


def _key(name: str) -> int:
    digest = hashlib.blake2b(os.fsencode(name), digest_size=_NUMBER.size).digest()
    return int(_NUMBER.unpack(digest)[0]) or 1
