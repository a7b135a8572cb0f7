"""Fill a page with figures from their files, and name the code and the machine that produced the figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.figures.checkout import Checkout, Standing
from tests.figures.quotes import QuoteError, Unmeasured, as_source, fill, sources_of

if TYPE_CHECKING:
    from pathlib import Path
    from types import SimpleNamespace

FILES: Final = {
    "performance": "docs/performance/results.json",
    "profile": "docs/performance/profile.json",
    "chaos": "docs/chaos/results.json",
    "sabotage": "docs/chaos/sabotage.json",
    "soak": "docs/chaos/soak.json",
    "questions": "docs/performance/questions.json",
}
"""The paths of the files that contain the figures, by the names that markers in pages use."""

STANDINGS: Final = {
    Standing.SAME: "",
    Standing.CHANGED: " (the product has changed since then)",
    Standing.ELSEWHERE: ", on another line of development",
}


def filled_page(text: str, root: Path) -> str:
    """Return a page with the figures that the files of a checkout contain."""
    sources = {name: _source(name, root) for name in sorted(sources_of(text))}
    return fill(text, sources, {name: measured(name, source, root) for name, source in sources.items()})


def _source(name: str, root: Path) -> SimpleNamespace:
    if name not in FILES:
        raise QuoteError(f"it quotes {name}, but figures are of {', '.join(FILES)}")
    path = root / FILES[name]
    return as_source(path.read_text(encoding="utf-8")) if path.is_file() else Unmeasured()


def measured(name: str, source: SimpleNamespace, root: Path) -> str:
    """Return a description of the code and the machine that a file's figures were measured with.

    Raises:
        QuoteError: The file has no certificate, or the clone lacks the certificate's commit.
    """
    if isinstance(source, Unmeasured):
        return "not measured yet"
    birth = getattr(source, "certificate", None)
    if birth is None:
        raise QuoteError(f"{FILES[name]} has no certificate of its measurement. Measure again")
    standing = Checkout(root).standing_of(birth.commit)
    if standing is Standing.UNKNOWN:
        raise QuoteError(
            f"{FILES[name]} was measured at {birth.commit}, which this clone does not know."
            " In a shallow clone: git fetch --unshallow. Otherwise measure again"
        )
    uncommitted = " with changes that were not committed" if birth.dirty else ""
    machine, versions = birth.machine, vars(birth.versions)
    servers = ", ".join(
        f"{key} {versions[key]}" for key in ("Python", "RabbitMQ", "PostgreSQL") if key in versions
    )
    return (
        f"measured at `{birth.commit[:10]}`{uncommitted}{STANDINGS[standing]}, on {birth.date}, with seed"
        f" {birth.seed}, on {machine.cores} cores ({machine.cpu}, {machine.memory_gb} GB; {servers})"
    )
