"""Print dead letters for people."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from omctl.console import print_table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from omctl.dead_letters.letters import DeadLetter


def print_summary(letters: Sequence[DeadLetter], what: str) -> None:
    """Print how many of each code and type."""
    counts = Counter((each.code, each.event_type) for each in letters)
    rows = [(code, kind, str(number)) for (code, kind), number in counts.most_common()]
    print_table(("code", "type", "letters"), rows, title=f"{len(letters)} dead letters {what}")


def print_letters(letters: Sequence[DeadLetter]) -> None:
    """Print a line for each."""
    print_table(
        ("message id", "died at", "code", "type", "conversation", "reason", "attempts", "copies"),
        [
            (
                each.message_id,
                _minute(each.died_at),
                each.code,
                each.event_type.rpartition(":")[2],
                each.conversation_id,
                each.reason,
                str(each.attempts or ""),
                str(each.copies),
            )
            for each in letters
        ],
    )


def as_plain(letter: DeadLetter) -> dict[str, Any]:
    """Return what is shown of a letter: all but its body."""
    described = asdict(letter)
    del described["body"]
    return described


def _minute(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else ""
