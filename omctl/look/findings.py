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
    """The result of one check.

    Args:
        area: What it belongs to: settings, broker, management, database, canary, edge, journal.
        subject: What was checked.
        level: How bad it is.
        text: What was found.
        advice: What to do; empty if there is nothing to do.
    """

    area: str
    subject: str
    level: Level
    text: str
    advice: str = ""


def check_areas(areas: Mapping[str, Callable[[], list[Finding]]], seconds: float) -> list[Finding]:
    """Return the findings of all areas, in their order; blocks for *seconds* at most.

    An area that fails, or has not finished in time, is a problem of its own and leaves the others alone.
    """
    results: dict[str, list[Finding]] = {}

    def run(area: str, check: Callable[[], list[Finding]]) -> None:
        try:
            results[area] = check()
        except OpenMessagingError as error:
            results[area] = [Finding(area, "check", Level.PROBLEM, "cannot be done", str(error))]
        except Exception as error:  # noqa: BLE001  # an outermost loop: no area may end the others
            logger().error("check_failed", area=area, error=type(error).__name__)
            advice = "This is a defect of omctl: report it with the line check_failed on standard error."
            results[area] = [Finding(area, "check", Level.PROBLEM, "failed", advice)]

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
        or [Finding(area, "check", Level.PROBLEM, late, "What it asks hangs: restart it, then check again.")]
    ]
