"""Define deliberate defects, at least one for every fault, to show that the fault's checks can fail.

A defect consists of a few lines of Python that are appended to one module in a copy of the product. The lines
redefine names of that module and do not depend on the code around them. tests/unit/chaos checks that these
names still exist in the product.
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
    """A defect that is put into a copy of the product by removing a safeguard.

    Args:
        name: A description of what is wrong with the copy.
        fault: The number of the fault that shows the defect.
        form: The form of that fault that shows the defect.
        module: The path of the changed file, relative to the checkout.
        code: The code that is appended to that file.
        shows: A regular expression that the fault's outcome on the copy must match: `lost=` or `repeated=`
            with a number above zero, or the message of the check that fails.
        stand: The kind of stand that the fault strikes.
        lasts: Replaces the form's `lasts` if the defect shows sooner; None keeps the form's `lasts`.
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
        """Return whether a result shows the defect. An unproven strike does not show any defect."""
        outcome = result.outcome
        has_struck = bool(result.proofs) and not STRUCK_NOTHING.search(outcome)
        return has_struck and re.search(self.shows, outcome) is not None

    @property
    def mark(self) -> str:
        """A digest that changes if any part of the defect changes."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:12]


LOST: Final = r"^(?!.*(did not (drain|empty)|are unfinished)).*lost=[1-9]"
"""Matches an outcome with lost events, unless events were still in progress when the run ended."""

REPEATED: Final = r"repeated=[1-9]"
STUCK: Final = r"journal did not empty|journal empties"


def sabotaged_copy(defect: Defect, directory: Path) -> Path:
    """Copy the product into *directory*, remove the defect's safeguard, and return the copy's path."""
    copy_of(SOURCES, directory)
    with (directory / defect.module).open("a", encoding="utf-8") as file:
        file.write(f"\n\n{defect.code}")
    return directory
