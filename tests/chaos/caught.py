"""Sum up which defects were caught, over several runs where one was broken off."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.chaos.defects import DEFECTS
from tests.figures import Checkout, Standing
from tests.stand.product import SOURCES

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


class Caught:
    """What came of each defect: in this run, and before it where that is gone on with.

    Args:
        config: Of pytest. With `--resume` the file that `--json` names is gone on with, if it is of the same
            product.
    """

    def __init__(self, config: pytest.Config) -> None:
        path: Path | None = config.getoption("json")
        self._wanted = len(config.getoption("defect") or DEFECTS)
        self.defects: list[dict[str, Any]] = []
        self.versions: dict[str, str] = {}
        if config.getoption("resume") and path and path.is_file():
            self._take_up(json.loads(path.read_text(encoding="utf-8")))

    def _take_up(self, kept: dict[str, Any]) -> None:
        """Take what was caught of defects that are still what they were, in a product that still is."""
        birth, marks = kept["certificate"], {each.mark for each in DEFECTS}
        if Checkout(SOURCES).standing_of(birth["commit"]) is Standing.SAME and not birth["dirty"]:
            self.defects = [each for each in kept["defects"] if each["caught"] and each["mark"] in marks]
            self.versions = birth["versions"]

    def is_done(self, name: str) -> bool:
        """Tell whether a defect needs no other run."""
        return any(each["name"] == name for each in self.defects)

    def note(self, told: dict[str, Any], seconds: float) -> str:
        """Note what came of a defect, and return it in a line."""
        self.defects.append(told | {"seconds": round(seconds)})
        return "fault {fault}, {name}: {outcome} ({seconds} s)".format(**self.defects[-1])

    @property
    def line(self) -> str:
        """The last line of a run, about all that was asked for, whether it came to its end or not."""
        return f"sabotage: defects={self._wanted} caught={sum(each['caught'] for each in self.defects)}"
