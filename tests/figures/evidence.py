"""Record the last result of each long suite with its commit, and list results older than the code."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Final

from tests.figures.certificate import ROOT, certificate
from tests.figures.checkout import PRODUCT, Checkout, Standing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FILE: Final = "docs/evidence.json"
INSTALLED: Final = (*PRODUCT, "deploy", "setup.cfg")
SUITES: Final[Mapping[str, tuple[str, ...]]] = {
    "chaos": PRODUCT,
    "chaos-sabotage": PRODUCT,
    "soak": PRODUCT,
    "bench": PRODUCT,
    "test-systemd": INSTALLED,
    "test-three": INSTALLED,
    "test-upgrade": INSTALLED,
    "test-compose": (*INSTALLED, "docker"),
    "test-containers": PRODUCT,
    "docs-run": INSTALLED,
    "questions": ("workers/db", "omctl/look"),
    "simulate": ("webhook_api", "messaging"),
    "simulate-behind": ("workers", "messaging"),
    "power": ("webhook_api", "messaging"),
    "alerts": (*PRODUCT, "deploy/prometheus"),
}
"""The `make` commands that take too long for `make check`, with the paths that their results depend on."""

CURRENT: Final = "current"
STANDINGS: Final = {
    Standing.SAME: CURRENT,
    Standing.CHANGED: "older than the code",
    Standing.ELSEWHERE: "of another line of development",
    Standing.UNKNOWN: "of an unknown commit",
}


def record(
    suite: str,
    line: str,
    *,
    passed: bool,
    birth: Mapping[str, Any] | None = None,
    root: Path = ROOT,
) -> None:
    """Record the result of a whole run.

    Args:
        suite: One of SUITES.
        line: The suite's last line.
        passed: Whether the suite reported success.
        birth: The certificate from the start of the run, or None to make one for the current commit.
        root: The directory of the checkout.
    """
    assert suite in SUITES, suite
    birth = birth or certificate(seed="", servers={}, root=root)
    entries = read(root) | {
        suite: {
            "line": line,
            "passed": passed,
            **{name: birth[name] for name in ("commit", "dirty", "date")},
        }
    }
    ordered = {name: entries[name] for name in SUITES if name in entries}
    (root / FILE).write_text(json.dumps(ordered, indent=2) + "\n", encoding="utf-8")


def read(root: Path) -> dict[str, dict[str, Any]]:
    """Return the recorded results, by suite."""
    path = root / FILE
    found: dict[str, dict[str, Any]] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return found


def judge(entry: Mapping[str, Any] | None, checkout: Checkout, paths: tuple[str, ...]) -> str:
    """Return CURRENT if a result shows that the current code passed, or else the problem with the result."""
    if entry is None:
        return "missing"
    if not entry["passed"]:
        return "failed"
    if entry["dirty"]:
        return "of uncommitted changes"
    return STANDINGS[checkout.standing_of(entry["commit"], paths)]


def main(root: Path = ROOT) -> int:
    """Print each suite with its last result; return 0 only if the current code has passed every suite."""
    entries, checkout = read(root), Checkout(root)
    verdicts = {suite: judge(entries.get(suite), checkout, paths) for suite, paths in SUITES.items()}
    for suite, verdict in verdicts.items():
        entry = entries.get(suite)
        last = f"{entry['commit'][:10]} {entry['date']}  {entry['line']}" if entry else ""
        print(f"{suite:15} {verdict:35} {last}".rstrip())
    return int(any(verdict != CURRENT for verdict in verdicts.values()))


if __name__ == "__main__":
    sys.exit(main())
