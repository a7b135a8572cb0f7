"""Run the checks of all areas side by side, so that none hides or delays the others."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from threading import Thread

from messaging.errors import OpenMessagingError
from messaging.log import logger


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    PROBLEM = "problem"
    """Events are lost, refused or stuck, now or after the next fault; the exit status is 1."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check: in which area, of what, how bad, what was found, and what to do about it."""

    area: str
    subject: str
    level: Level
    text: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Area:
    """Makes the findings of one area: settings, broker, management, database, canary, edge or journal."""

    name: str

    def ok(self, subject: str, text: str) -> Finding:
        """Return a finding without a fault."""
        return Finding(self.name, subject, Level.OK, text)

    def note(self, subject: str, text: str, advice: str = "") -> Finding:
        """Return a finding that an operator may want to know."""
        return Finding(self.name, subject, Level.NOTE, text, advice)

    def warning(self, subject: str, text: str, advice: str = "") -> Finding:
        """Return a finding that becomes a problem if nothing is done."""
        return Finding(self.name, subject, Level.WARNING, text, advice)

    def problem(self, subject: str, text: str, advice: str = "") -> Finding:
        """Return a finding with which the exit status is 1."""
        return Finding(self.name, subject, Level.PROBLEM, text, advice)


def check_areas(areas: Mapping[str, Callable[[], list[Finding]]], seconds: float) -> list[Finding]:
    """Return the findings of all areas, in their order; blocks for *seconds* at most.

    An area that fails, or has not finished in time, is a problem of its own and leaves the others alone.
    """
    results: dict[str, list[Finding]] = {}

    def run(area: str, check: Callable[[], list[Finding]]) -> None:
        try:
            results[area] = check()
        except OpenMessagingError as error:
            results[area] = [Area(area).problem("check", "cannot be done", str(error))]
        except Exception as error:  # noqa: BLE001  # an outermost loop: no area may end the others
            logger().error("check_failed", area=area, error=type(error).__name__)
            advice = "This is a defect of omctl: report it with the line check_failed on standard error."
            results[area] = [Area(area).problem("check", "failed", advice)]

    threads = [Thread(target=run, args=area, daemon=True) for area in areas.items()]
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    late = f"did not end within {seconds:.0f} s"
    return [
        finding
        for area in areas
        for finding in results.get(area)
        or [Area(area).problem("check", late, "What it asks hangs: restart it, then check again.")]
    ]
