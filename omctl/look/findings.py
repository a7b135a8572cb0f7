"""Run the checks of all areas in parallel, so that no check hides or delays another."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from threading import Thread
from typing import Final

from messaging.errors import OpenMessagingError
from messaging.log import logger


class Level(StrEnum):
    """The severity of a finding."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    PROBLEM = "problem"
    """Events are lost, refused or stuck, now or after the next fault; the exit status is 1."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check: its level, its subject, what was found, what to do about it, and its area."""

    level: Level
    subject: str
    text: str
    advice: str = ""
    area: str = ""


ok: Final = partial(Finding, Level.OK)
note: Final = partial(Finding, Level.NOTE)
warning: Final = partial(Finding, Level.WARNING)
problem: Final = partial(Finding, Level.PROBLEM)


def check_areas(areas: Mapping[str, Callable[[], Iterable[Finding]]], seconds: float) -> list[Finding]:
    """Run the check of each area. If a check fails or exceeds *seconds*, its only finding is a problem."""
    late = f"did not end within {seconds:.0f} s"
    hung = [problem("check", late, "A server that it queries hangs: restart it, then check again.")]
    results: dict[str, list[Finding]] = {}

    def run(area: str, check: Callable[[], Iterable[Finding]]) -> None:
        try:
            results[area] = list(check())
        except OpenMessagingError as error:
            results[area] = [problem("check", "cannot run", str(error))]
        except Exception as error:  # noqa: BLE001  # an outermost loop: one failed check must not end the others
            logger().error("check_failed", area=area, error=type(error).__name__)
            advice = "This is a defect of omctl: report it with the line check_failed on standard error."
            results[area] = [problem("check", "failed", advice)]

    threads = [Thread(target=run, args=area, daemon=True) for area in areas.items()]
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [replace(finding, area=area) for area in areas for finding in results.get(area, hung)]
