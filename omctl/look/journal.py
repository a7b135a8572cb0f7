"""Check the journals on this host's disk, also those of dead processes."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from omctl.look.findings import Finding, Level
from webhook_api.journal import (
    Damage,
    foreign_entries,
    has_owner,
    journal_directories,
    list_segments,
    read_segment,
)

AREA: Final = "journal"
FOREIGN: Final = "Nothing but the edge's own directories belongs here: move it away."
LOCKLESS: Final = "If it is a copied journal, make an empty file named lock in it, owned by the edge's user."
OLD_SECONDS: Final = 60.0
"""Usually an entry stays about ten seconds."""


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
    """Return the state of each journal under *root*; reads every segment."""
    try:
        directories, foreign = journal_directories(root), foreign_entries(root)
    except OSError as exc:
        return [_skipped(str(root), exc)]
    found = list(map(_judge_directory, directories))
    for name, what in foreign.items():
        found.append(Finding(AREA, name, Level.WARNING, f"{what}: the edge skips it", FOREIGN))
    nothing = Finding(AREA, str(root), Level.OK, "no journal on disk")
    return [*(found or [nothing]), *_check_damaged(root.parent / "damaged")]


def _judge_directory(directory: Path) -> Finding:
    """Judge one process's directory, or report why that is impossible."""
    try:
        return judge_journal(read_state(directory))
    except FileNotFoundError:
        if not directory.exists():
            return Finding(AREA, directory.name, Level.OK, "emptied and removed just now")
        text = "has no file named lock: the edge skips it"
        return Finding(AREA, directory.name, Level.PROBLEM, text, LOCKLESS)
    except OSError as exc:
        return _skipped(directory.name, exc)


def _check_damaged(directory: Path) -> list[Finding]:
    """Return a warning for files that the edge set aside because part of them could not be read."""
    kept = sorted(path.name for path in directory.glob("*")) if directory.is_dir() else []
    if not kept:
        return []
    advice = "Every readable event in them was published. Look for disk faults, then delete them."
    return [
        Finding(AREA, str(directory), Level.WARNING, f"{len(kept)} damaged files: {', '.join(kept)}", advice)
    ]


def check_oversized(directory: Path) -> list[Finding]:
    """Return a problem for events that the edge set aside because they are too large for the broker."""
    try:
        bodies = sum(path.suffix == ".body" for path in directory.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        return [Finding(AREA, str(directory), Level.WARNING, f"cannot be read: {error.strerror}")]
    if not bodies:
        return []
    advice = "They are not processed: see OpenMessagingSetAside in om-observe's /runbook."
    return [Finding(AREA, str(directory), Level.PROBLEM, f"{bodies} events too large for the broker", advice)]


def judge_journal(state: JournalState) -> Finding:
    """Judge one process's journal."""
    text = f"{state.entries} entries, {state.size} bytes, oldest segment {state.oldest_age:.0f} s"
    level, advice = Level.OK, ""
    if state.damaged:
        text += f", {state.damaged} bytes unreadable"
        level, advice = (
            Level.PROBLEM,
            "Keep the files and look for disk faults; every readable event is published.",
        )
    elif not state.is_owned and state.entries:
        level = Level.PROBLEM
        advice = (
            "Its process is dead: start the edge on this host with this OM_STATE_DIRECTORY; it adopts it."
        )
    elif state.entries and state.oldest_age > OLD_SECONDS:
        level, advice = Level.WARNING, "The broker does not accept events: see the broker's findings."
    return Finding(AREA, state.name, level, text, advice)


def read_state(directory: Path) -> JournalState:
    """Read one process's journal; a segment that is proven and unlinked meanwhile counts as empty.

    Raises:
        OSError: The lock is missing, or something in it may not be read.
    """
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
    return Finding(AREA, name, Level.WARNING, f"cannot be read: {error.strerror}", advice)
