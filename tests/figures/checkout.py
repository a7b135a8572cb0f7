"""Compare the working tree with the commit at which figures were measured."""

from __future__ import annotations

import ast
import enum
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PRODUCT: Final = ("messaging", "webhook_api", "workers", "omctl", "simulator")
"""Paths that figures depend on. A figure stays valid if only tests or pages change."""

PAGES: Final = ("README.md", "CHANGELOG.md", "docs")


class Standing(enum.Enum):
    """How the measured code relates to the code in the working tree."""

    SAME = enum.auto()
    CHANGED = enum.auto()
    ELSEWHERE = enum.auto()
    UNKNOWN = enum.auto()


@dataclass(frozen=True, slots=True)
class Checkout:
    """A working tree under git.

    Args:
        root: The top directory of the working tree.
    """

    root: Path

    def head(self) -> str:
        """Return the commit that is checked out, or "unknown" without git."""
        done = self._git("rev-parse", "HEAD")
        return done.stdout.strip() if not done.returncode else "unknown"

    def is_dirty(self) -> bool:
        """Return whether any file outside PAGES differs from the checked-out commit or is untracked."""
        excluded = [f":(exclude){page}" for page in PAGES]
        return bool(self._git("status", "--porcelain", "--", ".", *excluded).stdout.strip())

    def standing_of(self, commit: str, paths: Sequence[str] = PRODUCT) -> Standing:
        """Compare the code below some paths at a commit with the code in the working tree.

        Comments, docstrings and line breaks do not count as code.
        """
        if self._git("cat-file", "-e", f"{commit}^{{commit}}").returncode:
            return Standing.UNKNOWN
        if self._git("merge-base", "--is-ancestor", commit, "HEAD").returncode:
            return Standing.ELSEWHERE
        changed = self._git("diff", "--name-only", "--no-renames", commit, "--", *paths).stdout.splitlines()
        is_same = all(self._is_same_code(commit, path) for path in changed)
        return Standing.SAME if is_same else Standing.CHANGED

    def _is_same_code(self, commit: str, path: str) -> bool:
        before, now = self._git("show", f"{commit}:{path}"), self.root / path
        if not path.endswith(".py") or before.returncode or not now.is_file():
            return False
        return _code_of(before.stdout) == _code_of(now.read_text(encoding="utf-8"))

    def _git(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["git", "-C", str(self.root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)


class _Texts(ast.NodeTransformer):
    """Removes the docstrings of modules, classes, functions and constants."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_text else node


def _code_of(source: str) -> str:
    return ast.dump(_Texts().visit(ast.parse(source)))
