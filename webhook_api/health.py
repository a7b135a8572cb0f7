"""Report whether this host accepts events, and the state of its journals.

Each edge process writes its status into its journal directory, so that any of them can report on the host.
"""

import json
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from webhook_api.journal import STATUS_NAME, journal_directories, replace_file

MAX_STATUS_AGE_SECONDS: Final = 3.0
"""If a status is older than this, its process is hanging or has died."""

PLATFORM_LIST: Final = Path("/var/lib/open-messaging-ipranges/networks")
"""The file that om-ipranges.service writes once nginx is using the platform's current addresses."""

_SHOWN: Final = frozenset(
    ["bytes", "is_nearly_full", "oldest_entry_s", "postponed_segments", "refusal", "republished", "skipped"]
)


@dataclass(frozen=True, slots=True)
class Health:
    """Whether any process of the host accepts events now, and the report: JSON values without secrets."""

    is_ready: bool
    details: dict[str, Any]


def report(own: dict[str, Any], journal_root: Path, journal_max_bytes: int) -> Health:
    """Return the host's health: this process's current status and the other processes' last statuses."""
    statuses = read_statuses(journal_root)
    processes = [own, *(status for status in statuses if status["pid"] != own["pid"])]
    is_ready = any(process["journal"]["refusal"] is None for process in processes)
    details = {
        "status": "ready" if is_ready else "not ready",
        "problems": [*_problems(own), *_journal_problems(processes)],
        "journal_bytes": sum(int(process["journal"]["bytes"]) for process in processes),
        "journal_max_bytes": journal_max_bytes,
        "oldest_entry_s": max(float(process["journal"]["oldest_entry_s"]) for process in processes),
        "republished": sum(int(process["journal"]["republished"]) for process in processes),
        "platform_list_age_s": platform_list_age(),
        **_disk_space(journal_root),
        "time_s": time.time(),
        "processes": processes,
    }
    return Health(is_ready, details)


def _disk_space(directory: Path) -> dict[str, int]:
    """Return the size and the free space of a directory's disk; empty if they cannot be read."""
    with suppress(OSError):
        usage = shutil.disk_usage(directory)
        return {"disk_bytes": usage.total, "disk_free_bytes": usage.free}
    return {}


def platform_list_age() -> float | None:
    """Return how many seconds ago the platform last confirmed its addresses; None if it never did."""
    try:
        return max(0.0, time.time() - PLATFORM_LIST.stat().st_mtime)
    except OSError:
        return None


def read_statuses(journal_root: Path) -> list[dict[str, Any]]:
    """Return the last status of each process with a journal directory; a process writes it every second.

    Files that cannot be read, or that are not in this version's format, are left out.
    """
    statuses = []
    with suppress(OSError):
        for directory in journal_directories(journal_root):
            with suppress(OSError, ValueError):
                statuses.append(json.loads((directory / STATUS_NAME).read_text(encoding="utf-8")))
    return [status for status in statuses if _is_status(status)]


def write_status(directory: Path, status: dict[str, Any]) -> None:
    """Write this process's status. Ignore a full disk here, because the journal reports it."""
    with suppress(OSError):
        replace_file(directory / STATUS_NAME, json.dumps(status).encode())


def has_peer_with_room(journal_root: Path, pid: int) -> bool:
    """Return whether a process other than *pid* on this host accepts events and has journal space."""
    oldest = time.time() - MAX_STATUS_AGE_SECONDS
    return any(
        status["pid"] != pid
        and status.get("accepting_at", 0.0) >= oldest
        and not status["journal"]["is_nearly_full"]
        for status in read_statuses(journal_root)
    )


def _is_status(found: Any) -> bool:
    journal = found.get("journal") if isinstance(found, dict) else None
    return isinstance(journal, dict) and "pid" in found and _SHOWN.issubset(journal)


_BROKER_PROBLEMS: Final = {
    "away": "the broker is away: events wait in the journal",
    "blocked": "the broker has an alarm: events wait in the journal",
    "no_majority": "no majority of the queue's members is seen online: events wait in the journal",
}


def _problems(own: dict[str, Any]) -> list[str]:
    journal, gate = own["journal"], own["gate"]
    problems = [_BROKER_PROBLEMS[journal["broker"]]] if journal["broker"] in _BROKER_PROBLEMS else []
    if journal["oversized"]:
        problems.append("events too large for the broker were set aside in the directory oversized")
    if gate["shedding"]:
        problems.append("the queue is too deep: senders are answered 429")
    if gate["queue_depth"] is None and gate["is_polled"]:
        problems.append("the queue's depth is unknown: only the journal's limit holds senders back")
    if journal["refusal"] is not None:
        problems.append(f"{journal['refusal']}: senders are answered 503")
    return problems


def _journal_problems(processes: list[dict[str, Any]]) -> list[str]:
    skipped = {name: why for process in processes for name, why in process["journal"]["skipped"].items()}
    postponed = sum(int(process["journal"]["postponed_segments"]) for process in processes)
    problems = [f"in the journal directory, {name} is skipped: {why}" for name, why in skipped.items()]
    if postponed:
        reason = "cannot be read, or contain an oversized event that cannot be set aside"
        problems.append(f"{postponed} journal segments {reason}: they are kept and tried again")
    return problems
