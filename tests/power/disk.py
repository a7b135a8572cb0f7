"""Provide a real ext4 file system in an image file, and cut its power.

The file system is on a loop device that is backed by the image file. Data that the file system has written to
this device survives a cut; data that is only in the page cache does not. A drive that loses data after it has
acknowledged a write is not simulated.
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
    """A disk image that is mounted at *directory* while the disk is in use."""

    def __init__(self, image: Path, directory: Path) -> None:
        self._image = image
        self._directory = directory
        directory.mkdir(exist_ok=True)

    def format(self, size: int = IMAGE_BYTES) -> None:
        """Make an empty file system of *size* bytes in the image."""
        with self._image.open("wb") as image:
            image.truncate(size)
        _run("mkfs.ext4", "-q", "-F", str(self._image))

    @contextmanager
    def mounted(self) -> Iterator[Path]:
        """Mount the file system for a `with` block. After a cut, this replays the file system's journal."""
        _run("mount", "-o", "loop", str(self._image), str(self._directory))
        try:
            yield self._directory
        finally:
            self._unmount()

    def _unmount(self) -> None:
        """Unmount the file system. Retry until the last killed process has ended."""
        for _ in range(COPIES):
            if (
                subprocess.run(["umount", str(self._directory)], capture_output=True, check=False).returncode
                == 0
            ):
                return
            time.sleep(0.1)
        raise RuntimeError(f"{self._directory} is busy")

    def copy_as_cut(self, image: Path) -> None:
        """Copy the device's current data. No process may write to the disk's files during the copy.

        The kernel can write cached data to the device during a copy, so copy until two copies in a row match.
        """
        before = b""
        for _ in range(COPIES):
            now = self._image.read_bytes()
            if now == before:
                image.write_bytes(now)
                return
            before = now
        raise RuntimeError("the image keeps changing")


def is_possible() -> bool:
    """Return whether images can be made and mounted here: this requires root and loop devices."""
    if shutil.which("mkfs.ext4") is None or shutil.which("mount") is None:
        return False
    return subprocess.run(["losetup", "-f"], capture_output=True, check=False).returncode == 0


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
