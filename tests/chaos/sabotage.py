"""Define deliberate defects: at least one for every fault, which makes that fault's check fail.

A defect is a few lines of Python added to the end of one module in a copy of the product: it replaces what it
names, whatever the lines around look like. tests/unit/chaos holds it to the names that the product has.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.chaos.sources import copy_of
from tests.stand.product import SOURCES

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chaos.result import Result

STRUCK_NOTHING: Final = re.compile("it strikes: |did not strike: |nothing proves ")


@dataclass(frozen=True, slots=True)
class Defect:
    """A removed safeguard.

    Args:
        name: The fault in the product.
        fault: The number of the fault that shows it.
        form: The form of that fault that shows the defect.
        module: The file, below the checkout.
        code: Added to its end.
        shows: A regular expression that the fault's outcome matches: `lost=` and `repeated=` with numbers
            above zero, or the words of the check that fails.
        stand: The kind of stand.
        lasts: As the form's, where it shows sooner than the form lasts.
    """

    name: str
    fault: int
    form: str
    module: str
    code: str
    shows: str
    stand: str = "postgresql"
    lasts: tuple[float, float] | None = None

    def is_shown_by(self, result: Result) -> bool:
        """Return whether a result shows the defect; a strike without its proof shows nothing."""
        outcome = result.outcome
        has_struck = bool(result.proofs) and not STRUCK_NOTHING.search(outcome)
        return has_struck and re.search(self.shows, outcome) is not None

    @property
    def mark(self) -> str:
        """Return a value that changes with any part of the defect."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:12]


LOST: Final = r"^(?!.*(did not (drain|empty)|are unfinished)).*lost=[1-9]"
"""Matches lost events, but not events that are still in progress when the run ends."""

REPEATED: Final = r"repeated=[1-9]"
STUCK: Final = r"journal did not empty|journal empties"


def sabotaged_copy(defect: Defect, directory: Path) -> Path:
    """Copy the product into *directory*, remove the safeguard, and return the copy."""
    copy_of(SOURCES, directory)
    with (directory / defect.module).open("a", encoding="utf-8") as file:
        file.write(f"\n\n{defect.code}")
    return directory
