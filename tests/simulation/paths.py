"""Provide paths in the in-memory file system, with the pathlib methods that the edge uses."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any, Self

from tests.simulation.nodes import Directory, File

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulation.file_system import FileSystem


class SimulatedPath:
    """A path in the simulated file system *files*."""

    __slots__ = ("files", "name", "parts")

    def __init__(self, files: FileSystem, parts: tuple[str, ...]) -> None:
        self.files = files
        self.parts = parts
        self.name = parts[-1] if parts else ""

    def __truediv__(self, name: str) -> SimulatedPath:
        return SimulatedPath(self.files, (*self.parts, name))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SimulatedPath) and self.parts == other.parts

    def __lt__(self, other: SimulatedPath) -> bool:
        return self.parts < other.parts

    def __hash__(self) -> int:
        return hash(self.parts)

    def __repr__(self) -> str:
        return "/" + "/".join(self.parts)

    @property
    def parent(self) -> SimulatedPath:
        return SimulatedPath(self.files, self.parts[:-1])

    def with_name(self, name: str) -> SimulatedPath:
        return SimulatedPath(self.files, (*self.parts[:-1], name))

    @property
    def stem(self) -> str:
        return self.name.rpartition(".")[0]

    def exists(self) -> bool:
        self.files.call("stat")
        return self.files.find(self.parts) is not None

    def is_dir(self) -> bool:
        self.files.call("stat")
        return type(self.files.find(self.parts)) is Directory

    def is_symlink(self) -> bool:
        self.files.call("stat")
        node = self.files.find(self.parts)
        return type(node) is File and node.is_link

    def lstat(self) -> Any:
        self.files.call("stat")
        return self.files.facts(self.parts)

    stat = lstat

    def iterdir(self) -> Iterator[SimulatedPath]:
        self.files.call("readdir")
        return iter([self / name for name in self.files.get(self.parts).entries])

    def glob(self, pattern: str) -> Iterator[SimulatedPath]:
        assert pattern == "*"
        return self.iterdir() if self.exists() else iter(())

    def mkdir(self, mode: int = 0, parents: bool = False, exist_ok: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002  # as pathlib
        if parents and self.files.find(self.parts[:-1]) is None:
            self.parent.mkdir(parents=True, exist_ok=True)
        self.files.call("mkdir")
        if self.files.find(self.parts) is not None:
            if exist_ok:
                return
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        parent = self.files.get(self.parts[:-1])
        if self.files.free <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.files.change((parent, self.name, Directory()))

    def rename(self, target: SimulatedPath) -> SimulatedPath:
        self.files.call("rename")
        node = self.files.get(self.parts)
        new_parent = self.files.get(target.parts[:-1])
        self.files.change((self.files.get(self.parts[:-1]), self.name, None), (new_parent, target.name, node))
        return target

    def unlink(self, missing_ok: bool = False) -> None:  # noqa: FBT001, FBT002  # as pathlib
        self.files.call("unlink")
        node = self.files.find(self.parts) if missing_ok else self.files.get(self.parts)
        if node is None:
            return
        self.files.on_unlink(self, node)
        self.files.change((self.files.get(self.parts[:-1]), self.name, None))
        self.files.free += len(node.data)

    def rmdir(self) -> None:
        self.files.call("rmdir")
        if self.files.get(self.parts).entries:
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))
        self.files.change((self.files.get(self.parts[:-1]), self.name, None))

    def read_bytes(self) -> bytes:
        self.files.call("open")
        node = self.files.get(self.parts)
        self.files.call("read")
        return bytes(node.data)

    def read_text(self, encoding: str = "utf-8") -> str:
        return self.read_bytes().decode(encoding)

    def open(self, mode: str) -> _OpenFile:
        assert mode == "wb"
        return _OpenFile(self.files, self.files.open(self, os.O_WRONLY | os.O_CREAT | os.O_TRUNC))


class _OpenFile:
    """Replaces the file that `Path.open("wb")` returns."""

    def __init__(self, files: FileSystem, descriptor: int) -> None:
        self._files = files
        self._descriptor = descriptor

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close(self._descriptor)

    def write(self, data: bytes) -> None:
        if self._files.write(self._descriptor, data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def flush(self) -> None:
        """Do nothing, because this file does not buffer data."""

    def fileno(self) -> int:
        return self._descriptor
