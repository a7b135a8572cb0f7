"""Check the edge: its readiness, the way to it, the gateway's allow-list, and the journals on this host."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import requests

from messaging.environment import Environment
from omctl.connections import health_url
from omctl.installing.gateway import REFUSE_UNLISTED, SITE
from omctl.look.findings import Area, Finding
from webhook_api.health import platform_list_age
from webhook_api.journal import (
    Damage,
    foreign_entries,
    has_owner,
    journal_directories,
    list_segments,
    read_segment,
)

REQUEST_SECONDS: Final = 5.0
MAX_LIST_AGE: Final = 7 * 86400.0
"""Seconds. om-ipranges.timer runs daily; the platform announces changes weeks before."""
OLD_SECONDS: Final = 60.0
"""Usually an entry stays in the journal about ten seconds."""

FOREIGN: Final = "Nothing but the edge's own directories belongs here: move it away."
LOCKLESS: Final = "If it is a copied journal, make an empty file named lock in it, owned by the edge's user."
_EDGE: Final = Area("edge")
_CANARY: Final = Area("canary")
_JOURNAL: Final = Area("journal")


def check_edge(bind: str) -> list[Finding]:
    """Return the readiness of the edge at *bind*; blocks for some seconds at most."""
    url = health_url(bind)
    if url is None:
        return [_EDGE.note(bind, "listens on a socket file, which cannot be queried")]
    try:
        answer = requests.get(url, timeout=REQUEST_SECONDS)
    except requests.RequestException as error:
        is_late = isinstance(error, requests.Timeout)
        text = f"does not answer within {REQUEST_SECONDS:.0f} s" if is_late else "does not run"
        return [_EDGE.problem(url, text, "Start or restart the edge, or set OM_BIND to the edge's value.")]
    try:
        report = answer.json()
    except ValueError:
        report = None
    if not isinstance(report, dict):
        advice = "Another program listens there: set OM_BIND to the edge's value."
        return [_EDGE.problem(url, "answers something that is not a report", advice)]
    return judge_report(url, answer.status_code, report)


def judge_report(url: str, status: int, report: dict[str, Any]) -> list[Finding]:
    """Judge a readiness report: as a whole, its problems, and each process."""
    names = {
        "journal_bytes": "bytes in journals",
        "oldest_entry_s": "s oldest entry",
        "republished": "republished",
    }
    text = ", ".join(
        f"{report[name]} {label}" for name, label in names.items() if report.get(name) is not None
    )
    ready = _EDGE.ok(url, f"ready: {text}")
    if status != 200:
        advice = "It refuses events: the journal is full or cannot be written. See the broker's findings."
        ready = _EDGE.problem(url, f"not ready ({status}): {text}", advice)
    problems = [_EDGE.warning(url, str(problem)) for problem in report.get("problems", [])]
    return [ready, *problems, *(_judge_process(process) for process in report.get("processes", []))]


def _judge_process(process: dict[str, Any]) -> Finding:
    """Judge one process's journal; damage is a problem."""
    subject = f"process {process.get('pid')}"
    journal = {name: value for name, value in process.get("journal", {}).items() if value not in (None, {})}
    text = ", ".join(
        f"{name.removesuffix('_s').replace('_', ' ')} {value}" for name, value in journal.items()
    )
    if any(value for name, value in journal.items() if name.startswith("damaged")):
        advice = "Part of a journal could not be read: see journal_segment_damaged in the edge's log."
        return _EDGE.problem(subject, text, advice)
    return _EDGE.ok(subject, text)


def check_canary(environment: Environment) -> list[Finding]:
    """Return what stopped our own last event, as om-observe reports it; blocks for some seconds at most."""
    url = environment.string("OM_CANARY_URL")
    if not url:
        advice = "Set OM_CANARY_URL, and om-observe tests the whole way of an event once a minute."
        return [_CANARY.note("OM_CANARY_URL", "is not set", advice)]
    observe = str(health_url(environment.string("OM_METRICS_BIND", "127.0.0.1:9464")))
    try:
        state = requests.get(observe.replace("/health/ready", "/ops/state"), timeout=REQUEST_SECONDS).json()
        [light] = [light for light in state["lights"] if light["name"] == "canary"]
    except (requests.RequestException, ValueError, KeyError, TypeError):
        advice = "Start or restart om-observe, which sends it."
        return [_CANARY.warning(url, "is unknown: om-observe does not report it", advice)]
    if light["problem"]:
        advice = "See OpenMessagingCanary in docs/runbook.md."
        return [_CANARY.problem(url, f"was stopped. {light['problem']}", advice)]
    if light["state"] == "unknown":
        advice = "If this lasts for more than a minute, restart om-observe, which sends it."
        return [_CANARY.warning(url, "is unknown: no event of our own has come to its end lately", advice)]
    return [_CANARY.ok(url, f"our own event arrived {light['age_s']:.0f} s ago")]


def check_addresses() -> list[Finding]:
    """Return the state of the platform's allow-list on a host with a gateway."""
    if not SITE.exists():
        return []
    is_enforced = REFUSE_UNLISTED in SITE.read_text(encoding="utf-8")
    return [judge_list(platform_list_age(), is_enforced=is_enforced)]


def judge_list(age: float | None, *, is_enforced: bool) -> Finding:
    """Judge the allow-list by its age in seconds, None if there is none."""
    subject = "platform's addresses"
    if age is None:
        advice = "Set OM_GENESYS_REGION and the OAuth client, then systemctl start om-ipranges."
        return _EDGE.warning(subject, "have not been fetched", advice)
    text = f"were fetched {age / 86400:.1f} days ago"
    if age > MAX_LIST_AGE:
        return _EDGE.warning(subject, text, "See journalctl -u om-ipranges.")
    if not is_enforced:
        advice = "omctl install --platform-only makes nginx refuse all others."
        return _EDGE.warning(subject, f"{text}; others are logged, not refused", advice)
    return _EDGE.ok(subject, f"{text}; others are refused")


@dataclass(frozen=True, slots=True)
class JournalState:
    """One process's journal: events, bytes, unreadable bytes, seconds since its oldest segment's last write.

    `is_owned` is whether a living process holds its lock.
    """

    name: str
    is_owned: bool
    entries: int = 0
    size: int = 0
    damaged: int = 0
    oldest_age: float = 0.0


def check_journals(root: Path) -> list[Finding]:
    """Return the state of each journal under *root*, also those of dead processes; reads every segment."""
    try:
        directories, foreign = journal_directories(root), foreign_entries(root)
    except OSError as error:
        return [_skipped(str(root), error)]
    found = list(map(_judge_directory, directories))
    found += [_JOURNAL.warning(name, f"{what}: the edge skips it", FOREIGN) for name, what in foreign.items()]
    found = found or [_JOURNAL.ok(str(root), "no journal on disk")]
    return [*found, *_check_damaged(root.parent / "damaged")]


def _judge_directory(directory: Path) -> Finding:
    """Judge one process's directory, or report why that is impossible."""
    try:
        return judge_journal(read_state(directory))
    except FileNotFoundError:
        if not directory.exists():
            return _JOURNAL.ok(directory.name, "emptied and removed just now")
        return _JOURNAL.problem(directory.name, "has no file named lock: the edge skips it", LOCKLESS)
    except OSError as error:
        return _skipped(directory.name, error)


def _check_damaged(directory: Path) -> list[Finding]:
    """Return a warning for files that the edge set aside because part of them could not be read."""
    kept = sorted(path.name for path in directory.glob("*")) if directory.is_dir() else []
    if not kept:
        return []
    advice = "Every readable event in them was published. Look for disk faults, then delete them."
    return [_JOURNAL.warning(str(directory), f"{len(kept)} damaged files: {', '.join(kept)}", advice)]


def check_oversized(directory: Path) -> list[Finding]:
    """Return a problem for events that the edge set aside because they are too large for the broker."""
    try:
        bodies = sum(path.suffix == ".body" for path in directory.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        return [_JOURNAL.warning(str(directory), f"cannot be read: {error.strerror}")]
    if not bodies:
        return []
    advice = "They are not processed: see OpenMessagingSetAside in om-observe's /runbook."
    return [_JOURNAL.problem(str(directory), f"{bodies} events too large for the broker", advice)]


def judge_journal(state: JournalState) -> Finding:
    """Judge one process's journal."""
    text = f"{state.entries} entries, {state.size} bytes, oldest segment {state.oldest_age:.0f} s"
    if state.damaged:
        advice = "Keep the files and look for disk faults; every readable event is published."
        return _JOURNAL.problem(state.name, f"{text}, {state.damaged} bytes unreadable", advice)
    if state.entries and not state.is_owned:
        advice = (
            "Its process is dead: start the edge on this host with this OM_STATE_DIRECTORY; it adopts it."
        )
        return _JOURNAL.problem(state.name, text, advice)
    if state.entries and state.oldest_age > OLD_SECONDS:
        return _JOURNAL.warning(
            state.name, text, "The broker does not accept events: see the broker's findings."
        )
    return _JOURNAL.ok(state.name, text)


def read_state(directory: Path) -> JournalState:
    """Read one process's journal; a segment that is proven and unlinked meanwhile counts as empty."""
    state = JournalState(directory.name, is_owned=has_owner(directory))
    for segment in list_segments(directory):
        try:
            facts, records = segment.path.stat(), list(read_segment(segment.path))
        except FileNotFoundError:
            continue
        if state.is_owned and records and isinstance(records[-1], Damage):
            # An incomplete last record of a living process may be in the middle of its write.
            records.pop()
        damage = [record.size for record in records if isinstance(record, Damage)]
        entries = len(records) - len(damage)
        state = replace(
            state,
            entries=state.entries + entries,
            size=state.size + facts.st_size,
            damaged=state.damaged + sum(damage),
            oldest_age=max(state.oldest_age, time.time() - facts.st_mtime if entries else 0.0),
        )
    return state


def _skipped(name: str, error: OSError) -> Finding:
    advice = "Run omctl check as the edge's user. If that user cannot read it either, the edge skips it."
    return _JOURNAL.warning(name, f"cannot be read: {error.strerror}", advice)
