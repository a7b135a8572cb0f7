"""Mark deliveries that may kill their worker, so that the next worker knows which one does.

The broker's own delivery limit cannot tell a poison event from its neighbours: a crash counts for all that
the worker held. So a delivery that comes back twice is tried alone, with a mark in SQL before and none
after; the mark that stands at the next attempt was left by the event itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from workers.tables.rowset import MOMENT, TEXT, RowStatement

if TYPE_CHECKING:
    from sqlalchemy import Connection

SUSPECT_FROM_ATTEMPT: Final = 3
"""Attempts 1 and 2 are in a batch: one crash happens to anybody, two in a row are a reason to look."""

KILLS: Final = 3
"""A worker killed so often by one event alone is evidence; two could be the machine's fault."""

_MARK: Final = RowStatement(
    """
    INSERT INTO suspects (message_id, attempts, attempted_at)
    SELECT {message_id}, 1, {attempted_at} FROM {rows} WHERE true
    ON CONFLICT (message_id) DO UPDATE SET
        attempts = suspects.attempts + 1, attempted_at = excluded.attempted_at
    RETURNING attempts
    """,
    {"message_id": TEXT, "attempted_at": MOMENT},
)
_CLEAR: Final = text("DELETE FROM suspects WHERE message_id = :message_id")


def mark_attempt(connection: Connection, message_id: str, now_us: int) -> int:
    """Count an attempt that begins; commit before it does.

    Returns:
        How many attempts were begun and not finished before this one.
    """
    return int(_MARK.execute(connection, [(message_id, now_us)]).scalar_one()) - 1


def clear_attempts(connection: Connection, message_id: str) -> None:
    """Forget the marks of a delivery that is settled by the connection's transaction."""
    connection.execute(_CLEAR, {"message_id": message_id})
