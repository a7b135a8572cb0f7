"""Report whether this host takes events in, and how its journals stand."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from webhook_api.journal.directory import journal_directories

if TYPE_CHECKING:
    from pathlib import Path

STATUS_NAME: Final = "status.json"
"""Each process leaves its status in its journal directory, so that any of them can speak for the host."""


@dataclass(frozen=True, slots=True)
class Health:
    """One report.

    Args:
        is_ready: Whether events are taken in now.
        details: What is shown: JSON values only, no secrets.
    """

    is_ready: bool
    details: dict[str, Any]


def report(own: dict[str, Any], journal_root: Path, journal_max_bytes: int) -> Health:
    """Put this process's fresh status and the others' last ones together.

    Args:
        own: This process's status.
        journal_root: Where every process of the host has its journal directory.
        journal_max_bytes: The host's limit.
    """
    others = [status for status in read_statuses(journal_root) if status.get("pid") != own["pid"]]
    processes = [own, *others]
    used = sum(int(process["journal"]["bytes"]) for process in processes)
    problems = _problems(own, used, journal_max_bytes)
    is_ready = used < journal_max_bytes
    details = {
        "status": "ready" if is_ready else "not ready",
        "problems": problems,
        "journal_bytes": used,
        "journal_max_bytes": journal_max_bytes,
        "oldest_entry_s": max(float(process["journal"]["oldest_entry_s"]) for process in processes),
        "republished": sum(int(process["journal"]["republished"]) for process in processes),
        "processes": processes,
    }
    return Health(is_ready, details)


def read_statuses(journal_root: Path) -> list[dict[str, Any]]:
    """Return the last status of each process that has a journal directory, one a second old at most."""
    statuses = []
    for directory in journal_directories(journal_root):
        with suppress(OSError, ValueError):
            statuses.append(json.loads((directory / STATUS_NAME).read_text(encoding="utf-8")))
    return statuses


def write_status(directory: Path, status: dict[str, Any]) -> None:
    """Leave this process's status; a full disk is the journal's to tell, not ours."""
    temporary = directory / f"{STATUS_NAME}.new"
    with suppress(OSError):
        temporary.write_text(json.dumps(status), encoding="utf-8")
        temporary.rename(directory / STATUS_NAME)


def _problems(own: dict[str, Any], used: int, limit: int) -> list[str]:
    problems = []
    if own["journal"]["broker"] == "away":
        problems.append("the broker is away: events wait in the journal")
    if own["journal"]["broker"] == "blocked":
        problems.append("the broker has an alarm: events wait in the journal")
    if own["journal"]["broker"] == "no_majority":
        problems.append("no majority of the queue's members is seen online: events wait in the journal")
    if own["journal"]["oversized"]:
        problems.append("events too large for the broker were set aside in the directory oversized")
    if own["gate"]["shedding"]:
        problems.append("the queue is too deep: senders are told 429")
    if own["gate"]["queue_depth"] is None and own["gate"]["is_polled"]:
        problems.append("the queue's depth is unknown: only the journal's limit holds senders back")
    if used >= limit:
        problems.append("the journal is full: senders are told 503")
    return problems
