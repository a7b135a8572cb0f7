"""Erase personal data outside the tables: in the dead-letter queue and in this host's set-aside files."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from messaging.errors import OpenMessagingError
from workers.db.engine import DatabaseClock, transact
from workers.db.interventions import decide, note_carried_out

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from omctl.dead_letters import Session

SET_ASIDE: Final = ("oversized", "damaged")
"""Directories of the edge with bodies that could not be published."""


def erase_letters(opened: Session, needles: Collection[bytes], intervention_id: str | None) -> int:
    """Remove every dead letter whose body has one of *needles*; the others stay.

    Args:
        opened: The dead letters, exclusively.
        needles: Byte strings to search for.
        intervention_id: Recorded with each removed dead letter; None only counts.

    Returns:
        How many dead letters were removed, or would be.
    """
    found, clock = 0, DatabaseClock(opened.engine)
    for held in opened.queue.windows():
        chosen = [letter for letter in held if has_any(letter.envelope.body, needles)]
        found += len(chosen)
        if intervention_id is not None and chosen:
            ids = [letter.envelope.identity for letter in chosen]
            transact(opened.engine, partial(decide, message_ids=ids, intervention_id=intervention_id))
            transact(opened.engine, partial(note_carried_out, message_ids=ids, now_us=clock.now_us()))
            opened.queue.remove(chosen)
    return found


class UnreadableStateError(OpenMessagingError):
    """Nothing was erased; run the command again with the right to read the state directory."""


def check_readable(state_directory: Path) -> None:
    """Make sure that this host's files can be searched; a host without an edge has none.

    Raises:
        UnreadableStateError: A directory is there and cannot be read.
    """
    for name in (*SET_ASIDE, "journal"):
        try:
            next((state_directory / name).iterdir(), None)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise UnreadableStateError(
                f"{state_directory / name} cannot be read ({error.strerror}): run the command as root"
            ) from None


def erase_files(state_directory: Path, needles: Collection[bytes], *, dry_run: bool) -> int:
    """Delete this host's set-aside files that have one of *needles*; return how many."""
    found = list(_files_with(state_directory, needles))
    for path in found if not dry_run else ():
        path.with_suffix(".json").unlink(missing_ok=True)
        path.unlink()
    return len(found)


def journal_has_any(state_directory: Path, needles: Collection[bytes]) -> bool:
    """Return whether an event that waits in this host's journal has one of *needles*."""
    return any(
        has_any(path.read_bytes(), needles) for path in (state_directory / "journal").rglob("*.segment")
    )


def has_any(body: bytes, needles: Collection[bytes]) -> bool:
    """Return whether *body* has one of *needles*."""
    return any(needle in body for needle in needles)


def _files_with(state_directory: Path, needles: Collection[bytes]) -> Iterator[Path]:
    for name in SET_ASIDE:
        for path in sorted((state_directory / name).glob("*")):
            if path.suffix != ".json" and has_any(path.read_bytes(), needles):
                yield path
