"""Simulate a file system in memory for the journal's own code.

After a kill, the file system contains all data that was written. After a power cut, it contains all flushed
data and names, and a random part of the unflushed ones. Flushing a file does not flush its name. A rename is
atomic. The removal of a directory is flushed together with the moves of its files.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from tests.simulation.nodes import Change, Directory, File, flush, restore, set_name

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from tests.simulation.paths import SimulatedPath

BLOCK = 4096


class KilledError(BaseException):
    """The process is killed at this system call. No error handler of the product may catch this."""


class FileSystem:
    """Replaces the functions of `os` and `fcntl` that the journal calls itself or through its paths.

    Args:
        now_us: Returns the time on the wall clock, in microseconds.
        on_call: Called before each system call with its name; can kill the process, or let others run.
        on_unlink: Called with a file's path and content before the file's name is removed.

    `errors` maps a system call to the error with which it currently fails. `free` is the number of free bytes
    on the disk. If `cut_short` is true, the next write writes only half of its bytes. `process` is the
    process that makes the calls.
    """

    O_RDONLY, O_WRONLY, O_RDWR = os.O_RDONLY, os.O_WRONLY, os.O_RDWR
    O_CREAT, O_EXCL, O_TRUNC, O_APPEND = os.O_CREAT, os.O_EXCL, os.O_TRUNC, os.O_APPEND
    O_CLOEXEC, O_NOFOLLOW, O_DIRECTORY = os.O_CLOEXEC, os.O_NOFOLLOW, os.O_DIRECTORY
    LOCK_EX, LOCK_NB = fcntl.LOCK_EX, fcntl.LOCK_NB

    def __init__(
        self,
        now_us: Callable[[], int],
        on_call: Callable[[str], None],
        on_unlink: Callable[[SimulatedPath, File], None],
    ) -> None:
        self._now_us = now_us
        self._on_call = on_call
        self.on_unlink = on_unlink
        self.top = Directory()
        self.errors: dict[str, int] = {}
        self.free = 1 << 40
        self.cut_short = False
        self.process: Any = None
        self._descriptors: dict[int, tuple[File | Directory, Any]] = {}
        self._next = 3
        self._unflushed: list[tuple[tuple[Change, ...], Directory | None]] = []

    # Methods that paths call.

    def call(self, name: str) -> None:
        """Make a system call, which can fail. Before it, other processes can run, or this one can die."""
        self._on_call(name)
        if self.errors and (number := self.errors.get(name)):
            raise OSError(number, os.strerror(number))

    def find(self, parts: tuple[str, ...]) -> Any:
        """Return the file or directory at a path, or None if the path does not exist."""
        node: Any = self.top
        for part in parts:
            if type(node) is not Directory:
                return None
            node = node.entries.get(part)
        return node

    def get(self, parts: tuple[str, ...]) -> Any:
        """Return the file or directory at a path.

        Raises:
            FileNotFoundError: The path does not exist.
        """
        node = self.find(parts)
        if node is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "/".join(parts))
        return node

    def change(self, *changes: Change) -> None:
        """Set names, or remove those whose new value is None, in one atomic step."""
        directory, name, _ = changes[0]
        before = directory.entries.get(name)
        self._unflushed.append((changes, before if type(before) is Directory else None))
        for directory, name, node in changes:
            set_name(directory.entries, name, node)

    def new_file(self, parts: tuple[str, ...]) -> File:
        """Create an empty file at a path."""
        parent = self.get(parts[:-1])
        if self.free <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        file = File(changed_at=self._now_us() / 1e6)
        self.change((parent, parts[-1], file))
        return file

    def facts(self, parts: tuple[str, ...]) -> Any:
        """Return the size, the time of the last change and the kind of a file, as lstat does."""
        node = self.get(parts)
        if type(node) is Directory:
            return SimpleNamespace(st_size=BLOCK, st_mtime=0.0, st_mode=stat.S_IFDIR)
        kind = stat.S_IFLNK if node.is_link else stat.S_IFREG
        return SimpleNamespace(st_size=len(node.data), st_mtime=node.changed_at, st_mode=kind)

    # Methods that replace functions of os and fcntl.

    def open(self, path: SimulatedPath, flags: int, _mode: int = 0) -> int:
        """Open a file as os.open does."""
        self.call("open")
        node = self.find(path.parts)
        if node is not None and flags & os.O_EXCL:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        if node is None:
            node = self.new_file(path.parts) if flags & os.O_CREAT else self.get(path.parts)
        elif flags & os.O_TRUNC:
            self.truncate(node, 0)
        self._next += 1
        self._descriptors[self._next] = (node, self.process)
        return self._next

    def write(self, descriptor: int, data: bytes) -> int:
        """Append all or part of *data* to a file, and return the number of written bytes."""
        self.call("write")
        file, _ = self._descriptors[descriptor]
        size = len(data)
        if self.cut_short:
            self.cut_short = False
            size //= 2
        if self.free <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        size = min(size, self.free)
        self.free -= size
        file.data += data[:size]
        file.changed_at = self._now_us() / 1e6
        return size

    def ftruncate(self, descriptor: int, size: int) -> None:
        """Truncate a file as os.ftruncate does."""
        self.call("ftruncate")
        self.truncate(self._descriptors[descriptor][0], size)

    def truncate(self, file: File, size: int) -> None:
        """Truncate a file to *size* bytes."""
        self.free += len(file.data) - size
        del file.data[size:]
        file.flushed = min(file.flushed, size)

    def fdatasync(self, descriptor: int) -> None:
        """Flush a file. After an error, its pages are marked clean even though their data is not on disk."""
        file, _ = self._descriptors[descriptor]
        try:
            self.call("fdatasync")
        except OSError:
            file.lost.append((file.flushed, len(file.data)))
            file.flushed = len(file.data)
            raise
        file.flushed = len(file.data)

    def fsync(self, descriptor: int) -> None:
        """Flush a file's data, or the names in a directory."""
        node, _ = self._descriptors[descriptor]
        if type(node) is File:
            self.fdatasync(descriptor)
            return
        self.call("fsync")
        self._flush_names(node)

    def _flush_names(self, flushed: Directory) -> None:
        """Flush the changes in a directory, and the changes in the directories that they move or remove."""
        directories, due, rest = [flushed], [], []
        for changes, moved in reversed(self._unflushed):
            is_due = any(directory in directories for directory, _, _ in changes)
            (due if is_due else rest).append((changes, moved))
            if is_due and moved is not None:
                directories.append(moved)
        self._unflushed = rest[::-1]
        for changes, _ in reversed(due):
            flush(changes)

    def close(self, descriptor: int) -> None:
        """Close a descriptor and release its lock."""
        self.call("close")
        self._release(descriptor)

    def flock(self, descriptor: int, _operation: int) -> None:
        """Lock a file exclusively for a descriptor, or fail immediately."""
        self.call("flock")
        file, _ = self._descriptors[descriptor]
        if file.locked_by not in {None, descriptor}:
            raise BlockingIOError(errno.EWOULDBLOCK, os.strerror(errno.EWOULDBLOCK))
        file.locked_by = descriptor

    def statvfs(self, _path: SimulatedPath) -> Any:
        """Return the free space on the disk."""
        self.call("statvfs")
        return SimpleNamespace(f_bavail=max(0, self.free) // BLOCK, f_frsize=BLOCK)

    def getpid(self) -> int:
        """Return the number of the running process as its process id."""
        return int(self.process.number)

    # Methods that strikes call.

    def release(self, process: object) -> None:
        """Close all descriptors of a dead process, and release their locks."""
        for descriptor in [one for one, (_, owner) in self._descriptors.items() if owner is process]:
            self._release(descriptor)

    def cut_power(self, random: random.Random) -> None:
        """Lose a random part of the unflushed data. Call this only when all processes are dead."""
        for changes, _ in self._unflushed[: random.randint(0, len(self._unflushed))]:
            flush(changes)
        self._unflushed.clear()
        restore(self.top, random)

    def _release(self, descriptor: int) -> None:
        node, _ = self._descriptors.pop(descriptor)
        if type(node) is File and node.locked_by == descriptor:
            node.locked_by = None
