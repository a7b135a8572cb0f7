"""Run the suite on a copy of the product with one of its safeguards taken out: it must fail."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.chaos.stand import SOURCES

if TYPE_CHECKING:
    from pathlib import Path

PACKAGES: Final = ("messaging", "migrations", "omctl", "webhook_api", "workers")


@dataclass(frozen=True, slots=True)
class Patch:
    """One piece of one file replaced by another; it must be there exactly once.

    Args:
        path: Below the checkout.
        old: What stands there.
        new: What stands in the copy.
    """

    path: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Sabotage:
    """A safeguard taken out.

    Args:
        patches: How.
        faults: Which of them show it, so that not all need to be run.
    """

    patches: tuple[Patch, ...]
    faults: tuple[int, ...]


SABOTAGES: Final[dict[str, Sabotage]] = {
    "journal": Sabotage(
        # Events are published while the broker is there, and otherwise kept nowhere.
        (Patch("webhook_api/handover/handover.py", "        self._journal.append(properties, body)\n", ""),),
        faults=(1, 6),
    ),
    "barrier": Sabotage(
        # What has been handed to the socket counts as proven.
        (
            Patch(
                "webhook_api/handover/barrier.py",
                "        self._sent.append(_Sent(segment))\n",
                "        segment.path.unlink(missing_ok=True)\n",
            ),
        ),
        faults=(5, 6),
    ),
    "adoption": Sabotage(
        # A process looks after its own journal only.
        (
            Patch(
                "webhook_api/journal/home.py",
                "        for directory in directories:\n",
                "        for directory in ():\n",
            ),
        ),
        faults=(1,),
    ),
    "index": Sabotage(
        # Nothing tells a redelivery from an event.
        (
            Patch("workers/tables/processed_events.py", "ON CONFLICT (idempotency_key) DO NOTHING ", ""),
            Patch(
                "migrations/versions/0001_intake.py",
                '        sa.UniqueConstraint("idempotency_key", '
                'name="uq_processed_events_idempotency_key"),\n',
                "",
            ),
        ),
        faults=(4, 10),
    ),
}


def sabotaged_copy(sabotage: Sabotage, directory: Path) -> Path:
    """Copy the product's packages into *directory*, take the safeguard out, return it."""
    for package in PACKAGES:
        shutil.copytree(SOURCES / package, directory / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml"):
        shutil.copy(SOURCES / name, directory / name)
    for patch in sabotage.patches:
        _apply(patch, directory)
    return directory


def _apply(patch: Patch, directory: Path) -> None:
    path = directory / patch.path
    text = path.read_text(encoding="utf-8")
    assert text.count(patch.old) == 1, f"the sabotage does not fit {patch.path} any more"
    path.write_text(text.replace(patch.old, patch.new), encoding="utf-8")
