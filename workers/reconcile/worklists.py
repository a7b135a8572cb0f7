"""Say which conversation is compared next: those of the timer in SQL, those of a command in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from workers.db.engine import transact
from workers.db.reconcile import KnownConversation, conversations_to_read, note_conversation
from workers.parsing import moment_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from sqlalchemy import Connection, Engine

    from messaging.clock import Clock
    from workers.db.reconcile import Reconciliation
    from workers.reconcile.checking import Checked


class Worklist(Protocol):
    """The conversations that one comparison still has to read."""

    def first(self, skip: Collection[str]) -> KnownConversation | None:
        """Return the next conversation that is not to be skipped; None if there is none."""

    def note(self, connection: Connection, piece: Checked, began_us: int) -> None:
        """Record what was read of one, in the transaction of what was found."""


class StoredWorklist:
    """The open conversations: first those whose counts differ, then the others while there is time.

    Args:
        engine: The database.
        clock: The database's.
        reconciliation: The comparison.
        until_us: When conversations whose counts agree are not read any more: the next comparison is due.
    """

    def __init__(self, engine: Engine, clock: Clock, reconciliation: Reconciliation, until_us: int) -> None:
        self._engine = engine
        self._clock = clock
        self._started_us = reconciliation.started_us
        self._active_since = moment_of(reconciliation.compared_from_us)
        self._until_us = until_us

    def first(self, skip: Collection[str]) -> KnownConversation | None:
        """Return the next conversation; one whose reading was interrupted comes again."""
        is_late = self._clock.now_us() >= self._until_us

        def query(connection: Connection) -> list[KnownConversation]:
            return conversations_to_read(
                connection, self._started_us, self._active_since, 1, skip, only_differing=is_late
            )

        return next(iter(transact(self._engine, query)), None)

    def note(self, connection: Connection, piece: Checked, began_us: int) -> None:
        """Record how far the conversation is compared."""
        note_conversation(
            connection,
            piece.conversation_id,
            piece.state,
            piece.fingerprint,
            began_us if piece.through is None else None,
            began_us,
            piece.messages,
            piece.through,
        )


class GivenWorklist:
    """Conversations that a command names; they are read whole, whatever was compared before.

    Args:
        ids: The conversations, in the order in which they are read.
    """

    def __init__(self, ids: Iterable[str]) -> None:
        self._through: dict[str, str | None] = dict.fromkeys(ids)

    def first(self, skip: Collection[str]) -> KnownConversation | None:
        """Return the next conversation; one whose reading was interrupted comes again."""
        left = ((key, through) for key, through in self._through.items() if key not in skip)
        return next((KnownConversation(key, compared_through=through) for key, through in left), None)

    def note(self, connection: Connection, piece: Checked, began_us: int) -> None:  # noqa: ARG002
        """Record nothing: a command compares other times than the timer."""
        if piece.through is None:
            self._through.pop(piece.conversation_id, None)
        else:
            self._through[piece.conversation_id] = piece.through

    def __len__(self) -> int:
        """Return how many are left."""
        return len(self._through)
