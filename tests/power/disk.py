"""A real ext4 file system in an image file, whose power can be cut.

Its block device is a loop device over the image. Data that the file system has sent to that device survives a
cut; data in the page cache of its files does not. No drive here loses data that it has acknowledged.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IMAGE_BYTES = 48 * 1024 * 1024
COPIES = 50


class Disk:
    """One image, mounted at *directory* while it is used."""

    def __init__(self, image: Path, directory: Path) -> None:
        self._image = image
        self._directory = directory
        directory.mkdir(exist_ok=True)

    def format(self, size: int = IMAGE_BYTES) -> None:
        """Make an empty file system of a number of bytes."""
        with self._image.open("wb") as image:
            image.truncate(size)
        _run("mkfs.ext4", "-q", "-F", str(self._image))

    @contextmanager
    def mounted(self) -> Iterator[Path]:
        """Mount it for a `with` block; its journal is replayed first after a cut."""
        _run("mount", "-o", "loop", str(self._image), str(self._directory))
        try:
            yield self._directory
        finally:
            self._unmount()

    def _unmount(self) -> None:
        """Unmount as soon as the last killed process is gone."""
        for _ in range(COPIES):
            if (
                subprocess.run(["umount", str(self._directory)], capture_output=True, check=False).returncode
                == 0
            ):
                return
            time.sleep(0.1)
        raise RuntimeError(f"{self._directory} is busy")

    def copy_as_cut(self, image: Path) -> None:
        """Copy the device's present data; no process may write to its files meanwhile.

        The kernel may write back while the image is copied, so two copies must be equal.
        """
        before = b""
        for _ in range(COPIES):
            now = self._image.read_bytes()
            if now == before:
                image.write_bytes(now)
                return
            before = now
        raise RuntimeError("the image does not come to rest")


def is_possible() -> bool:
    """Return whether images can be made and mounted here; this needs root and loop devices."""
    if shutil.which("mkfs.ext4") is None or shutil.which("mount") is None:
        return False
    return subprocess.run(["losetup", "-f"], capture_output=True, check=False).returncode == 0


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
