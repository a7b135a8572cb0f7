"""Check the journals on this host's disk, also those of dead processes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from omctl.check.findings import Finding, Level
from webhook_api.journal import (
    Damage,
    foreign_entries,
    has_owner,
    journal_directories,
    list_segments,
    read_segment,
)

if TYPE_CHECKING:
    from pathlib import Path

AREA: Final = "journal"
FOREIGN: Final = "Nothing but the edge's own directories belongs here: move it away."
LOCKLESS: Final = "If it is a copied journal, make an empty file named lock in it, owned by the edge's user."
OLD_SECONDS: Final = 60.0
"""Usually an entry stays about ten seconds."""


@dataclass(frozen=True, slots=True)
class JournalState:
    """One process's journal.

    Args:
        name: Its directory's name.
        is_owned: Whether a living process holds its lock.
        entries: Events in it.
        size: Bytes in it.
        damaged: Bytes that hold no readable event.
        oldest_age: Seconds since its oldest segment was last written; 0 if it is empty.
    """

    name: str
    is_owned: bool
    entries: int
    size: int
    damaged: int
    oldest_age: float


def check_journals(root: Path) -> list[Finding]:
    """Return the state of each journal under *root*; reads every segment."""
    try:
        directories, foreign = journal_directories(root), foreign_entries(root)
    except OSError as exc:
        return [_skipped(str(root), exc)]
    found = [
        *(_judge_directory(directory) for directory in directories),
        *(
            Finding(AREA, name, Level.WARNING, f"{what}: the edge skips it", FOREIGN)
            for name, what in foreign.items()
        ),
    ]
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
    advice = "They are not processed: see docs/operations.md, oversized events."
    return [Finding(AREA, str(directory), Level.PROBLEM, f"{bodies} events too large for the broker", advice)]


def judge_journal(state: JournalState) -> Finding:
    """Judge one process's journal."""
    text = f"{state.entries} entries, {state.size} bytes, oldest segment {state.oldest_age:.0f} s"
    if state.damaged:
        text += f", {state.damaged} bytes unreadable"
        return Finding(
            AREA, state.name, Level.PROBLEM, text, "Keep the files; see docs/operations.md, journal."
        )
    if not state.is_owned and state.entries:
        advice = (
            "Its process is dead: start the edge on this host with this OM_STATE_DIRECTORY; it adopts it."
        )
        return Finding(AREA, state.name, Level.PROBLEM, text, advice)
    if state.entries and state.oldest_age > OLD_SECONDS:
        advice = "The broker does not accept events: see the broker's findings."
        return Finding(AREA, state.name, Level.WARNING, text, advice)
    return Finding(AREA, state.name, Level.OK, text)


def read_state(directory: Path) -> JournalState:
    """Read one process's journal; a segment that is proven and unlinked meanwhile counts as empty.

    Raises:
        OSError: The lock is missing, or something in it may not be read.
    """
    is_owned = has_owner(directory)
    segments = [
        segment
        for file in list_segments(directory)
        if (segment := _read_segment(file.path, is_being_written=is_owned))
    ]
    written = [segment.written_at for segment in segments if segment.entries]
    return JournalState(
        directory.name,
        is_owned=is_owned,
        entries=sum(segment.entries for segment in segments),
        size=sum(segment.size for segment in segments),
        damaged=sum(segment.damaged for segment in segments),
        oldest_age=max(0.0, time.time() - min(written)) if written else 0.0,
    )


@dataclass(frozen=True, slots=True)
class _SegmentState:
    """One file: events, bytes, unreadable bytes, seconds since the epoch of its last write."""

    entries: int
    size: int
    damaged: int
    written_at: float


def _read_segment(path: Path, *, is_being_written: bool) -> _SegmentState | None:
    """Read one file, None if it is gone. An incomplete last record may be in the middle of its write."""
    try:
        facts = path.stat()
        records = list(read_segment(path))
    except FileNotFoundError:
        return None
    if is_being_written and records and isinstance(records[-1], Damage):
        records.pop()
    damage = [record.size for record in records if isinstance(record, Damage)]
    return _SegmentState(len(records) - len(damage), facts.st_size, sum(damage), facts.st_mtime)


def _skipped(name: str, error: OSError) -> Finding:
    advice = "Run omctl check as the edge's user. If that user cannot read it either, the edge skips it."
    return Finding(AREA, name, Level.WARNING, f"cannot be read: {error.strerror}", advice)
