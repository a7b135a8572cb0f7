"""Sum up which defects were caught over several runs, of which some may have been interrupted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from tests.chaos.defects import DEFECTS
from tests.figures import Checkout, Standing
from tests.stand.product import SOURCES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pytest


BIRTH: Final = ("commit", "date", "seed")
"""The parts of a run's certificate that each of its rows keeps."""


class Caught:
    """What came of each defect: in this run, and before it where that is gone on with.

    Args:
        config: Of pytest. With `--resume` the file of `--json` is continued, if it is of the same
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
        """Take over defects caught earlier if neither the defect nor the product has changed.

        A row without its control does not count: the intact product may have failed as well.
        """
        birth, marks, checkout = kept["certificate"], {each.mark for each in DEFECTS}, Checkout(SOURCES)
        if birth["dirty"]:
            return
        rows = [_born(birth) | each for each in kept["defects"]]
        commits = {row["commit"] for row in rows}
        same = {commit for commit in commits if checkout.standing_of(commit) is Standing.SAME}
        sound = [row for row in rows if row["caught"] and "intact" in row and row["commit"] in same]
        self.defects = [row for row in sound if row["mark"] in marks]
        self.versions = birth["versions"] if self.defects else {}

    def is_done(self, name: str) -> bool:
        """Return whether a defect needs no further run."""
        return any(each["name"] == name for each in self.defects)

    def note(self, told: dict[str, Any], seconds: float, birth: Mapping[str, Any]) -> str:
        """Record the result of a defect in a run with this certificate, and return it as a line."""
        row = told | {"seconds": round(seconds)} | _born(birth)
        self.defects.append(row)
        outcome = row.get("outcome", f"the intact product fails, too: {row['intact']}")
        return f"fault {row['fault']}, {row['name']}: {outcome} ({row['seconds']} s)"

    def certificate(self, birth: Mapping[str, Any]) -> dict[str, Any]:
        """Return this run's certificate, with the oldest row's commit and date and every row's seed."""
        if not self.defects:
            return dict(birth)
        seeds = ", ".join(dict.fromkeys(each["seed"] for each in self.defects))
        versions = self.versions | birth["versions"]
        return {**birth, **_born(self.defects[0]), "seed": seeds, "versions": versions}

    @property
    def is_complete(self) -> bool:
        """Return whether every requested defect is caught."""
        return sum(each["caught"] for each in self.defects) == self._wanted

    @property
    def line(self) -> str:
        """Return the last line of a run, about all requested defects, even if the run was interrupted."""
        line = f"sabotage: defects={self._wanted} caught={sum(each['caught'] for each in self.defects)}"
        commits = dict.fromkeys(each["commit"][:10] for each in self.defects)
        return f"{line} commits={','.join(commits)}" if len(commits) > 1 else line


def _born(birth: Mapping[str, Any]) -> dict[str, Any]:
    return {name: birth[name] for name in BIRTH}
