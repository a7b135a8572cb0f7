"""Print dead letters for operators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from omctl.console import print_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Row


def print_summary(counts: Sequence[tuple[str, str | None, int]], verb: str) -> None:
    """Print how many of each code and event type."""
    rows = [(code, event_type or "", str(count)) for code, event_type, count in counts]
    total = sum(count for *_, count in counts)
    print_table(("code", "type", "letters"), rows, title=f"{total} dead letters {verb}")


def print_letters(letters: Sequence[Row[Any]]) -> None:
    """Print a line for each."""
    print_table(
        ("message id", "recorded at", "code", "type", "conversation", "reason", "attempts"),
        [
            (
                letter.message_id,
                f"{letter.recorded_at:%Y-%m-%d %H:%M}",
                letter.code,
                (letter.event_type or "").rpartition(":")[2],
                letter.conversation_id or "",
                letter.reason,
                str(letter.attempts),
            )
            for letter in letters
        ],
    )


def as_plain(letter: Row[Any]) -> dict[str, Any]:
    """Return what is known of a letter without its body."""
    return dict(letter._mapping)  # noqa: SLF001  # SQLAlchemy's public accessor
