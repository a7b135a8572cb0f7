"""Print the project's sizes beside their limits: `make sizes`."""

from __future__ import annotations

import ast
import sys
from collections import Counter
from importlib import import_module
from typing import TYPE_CHECKING, Final

from messaging.settings import known_settings
from tests.figures.certificate import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

PRODUCT: Final = ("messaging", "webhook_api", "workers", "omctl", "simulator", "deploy")
APPARATUS: Final = (
    "chaos", "benchmarks", "machines", "model", "simulation", "power", "stand", "figures", "questions",
    "alerts",
)  # fmt: skip
"""The folders of tests/ that the limit on test lines does not cover: the long suites and their tools."""
MAX_MODULE_LINES: Final = 250
MAX_FUNCTION_LINES: Final = 40
MAX_FOLDER_MODULES: Final = 10


def main() -> int:
    """Print the table; return 1 if a size is above its limit."""
    rows = sizes(ROOT)
    for name, size, limit in rows:
        mark = "" if size <= limit else "  above its limit"
        print(f"{name:<55} {size:>7,} {limit:>7,}{mark}")
    return int(any(size > limit for _, size, limit in rows))


def sizes(root: Path) -> list[tuple[str, int, int]]:
    """Return the name, the size and the limit of each measure."""
    modules = (module for package in PRODUCT for module in _modules(root / package))
    product = [module for module in modules if "migrations" not in module.parts]
    parts = {path: set(path.relative_to(root).parts) for path in _modules(root / "tests")}
    tests = [path for path in parts if not set(APPARATUS) & parts[path]]
    views = import_module("workers.db.migrations.versions.0001_baseline").VIEWS
    folders = Counter(path.parent for path in product if path.name != "__init__.py")
    return [
        ("product lines, without migrations", _lines(product), 29_000),
        ("product files", len(product), 290),
        ("settings", len(known_settings()), 42),
        ("views", len(views), 20),
        ("migrations", len(list((root / "workers/db/migrations/versions").glob("0*.py"))), 1),
        ("decision records", len(list((root / "docs/decisions").glob("0*.md"))), 30),
        ("lines of setup.cfg", _lines([root / "setup.cfg"]), 250),
        ("modules above 250 lines", sum(_lines([path]) > MAX_MODULE_LINES for path in product), 0),
        ("functions above 40 lines", sum(_long_functions(path) for path in product), 0),
        ("folders with more than ten modules", sum(n > MAX_FOLDER_MODULES for n in folders.values()), 0),
        ("test lines, without long suites", _lines(tests), 21_000),
    ]


def _modules(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def _lines(paths: Iterable[Path]) -> int:
    return sum(len(path.read_text().splitlines()) for path in paths)


def _long_functions(path: Path) -> int:
    return sum(
        (node.end_lineno or 0) - node.lineno + 1 > MAX_FUNCTION_LINES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


if __name__ == "__main__":
    sys.exit(main())
