"""Compare the working tree with a measured commit."""

from __future__ import annotations

import enum
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PRODUCT: Final = ("messaging", "webhook_api", "workers", "omctl", "simulator")
"""Paths that figures depend on. Tests and pages may change without making a figure old."""

PAGES: Final = ("README.md", "CHANGELOG.md", "docs")


class Standing(enum.Enum):
    """How the measured code relates to the working tree."""

    SAME = enum.auto()
    CHANGED = enum.auto()
    ELSEWHERE = enum.auto()
    UNKNOWN = enum.auto()


@dataclass(frozen=True, slots=True)
class Checkout:
    """A working tree under git.

    Args:
        root: Its top directory.
    """

    root: Path

    def head(self) -> str:
        """Return the commit that is checked out, or "unknown" without git."""
        done = self._git("rev-parse", "HEAD")
        return done.stdout.strip() if not done.returncode else "unknown"

    def is_dirty(self) -> bool:
        """Return whether anything but the pages differs from that commit."""
        excluded = [f":(exclude){page}" for page in PAGES]
        return bool(self._git("status", "--porcelain", "--", ".", *excluded).stdout.strip())

    def standing_of(self, commit: str, paths: Sequence[str] = PRODUCT) -> Standing:
        """Compare the files below some paths at a commit with those in the working tree."""
        if self._git("cat-file", "-e", f"{commit}^{{commit}}").returncode:
            return Standing.UNKNOWN
        if self._git("merge-base", "--is-ancestor", commit, "HEAD").returncode:
            return Standing.ELSEWHERE
        changed = self._git("diff", "--quiet", commit, "--", *paths).returncode
        return Standing.CHANGED if changed else Standing.SAME

    def _git(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["git", "-C", str(self.root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)
