"""Record which defects were caught, in this run and in the interrupted run that it continues."""

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
"""The fields of a run's certificate that are copied into each row that the run records."""


class Caught:
    """The results for all defects, from this run and from the earlier run that it continues.

    Args:
        config: pytest's configuration. With `--resume`, results in the file that `--json` names are kept
            if they were measured on the same product.
    """

    def __init__(self, config: pytest.Config) -> None:
        path: Path | None = config.getoption("json")
        self._wanted = len(config.getoption("defect") or DEFECTS)
        self.defects: list[dict[str, Any]] = []
        self.versions: dict[str, str] = {}
        if config.getoption("resume") and path and path.is_file():
            self._take_up(json.loads(path.read_text(encoding="utf-8")))

    def _take_up(self, kept: dict[str, Any]) -> None:
        """Keep each earlier result, unless the defect or the product has changed.

        A row without a result for the intact product is ignored, because the intact product might also have
        failed.
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
        """Return whether a result for the defect is recorded, so the defect need not be tested again."""
        return any(each["name"] == name for each in self.defects)

    def note(self, told: dict[str, Any], seconds: float, birth: Mapping[str, Any]) -> str:
        """Record a defect's result with the certificate of its run, and return it as a line of text."""
        row = told | {"seconds": round(seconds)} | _born(birth)
        self.defects.append(row)
        outcome = row.get("outcome", f"the intact product fails, too: {row['intact']}")
        return f"fault {row['fault']}, {row['name']}: {outcome} ({row['seconds']} s)"

    def certificate(self, birth: Mapping[str, Any]) -> dict[str, Any]:
        """Return this run's certificate, with the oldest row's commit and date and the seeds of all rows."""
        if not self.defects:
            return dict(birth)
        seeds = ", ".join(dict.fromkeys(each["seed"] for each in self.defects))
        versions = self.versions | birth["versions"]
        return {**birth, **_born(self.defects[0]), "seed": seeds, "versions": versions}

    @property
    def is_complete(self) -> bool:
        """Whether every requested defect was caught."""
        return sum(each["caught"] for each in self.defects) == self._wanted

    @property
    def line(self) -> str:
        """The last line of a run's output, which counts all requested defects even after an interruption."""
        line = f"sabotage: defects={self._wanted} caught={sum(each['caught'] for each in self.defects)}"
        commits = dict.fromkeys(each["commit"][:10] for each in self.defects)
        return f"{line} commits={','.join(commits)}" if len(commits) > 1 else line


def _born(birth: Mapping[str, Any]) -> dict[str, Any]:
    return {name: birth[name] for name in BIRTH}
