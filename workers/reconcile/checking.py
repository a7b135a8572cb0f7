"""Check one conversation against the platform's history; changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from workers.genesys import PlatformRefusedError
from workers.reconcile.copies import copies_of
from workers.tables import STATE_ENDED, STATE_OPEN, STATE_UNKNOWN, known_keys, manner_of, transact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Engine

    from workers.reconcile.copies import Copy
    from workers.reconcile.platform_history import PlatformHistory
    from workers.tables import KnownConversation


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is compared: events from a moment on, up to another; microseconds since the epoch."""

    from_us: int
    to_us: int


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found in a conversation.

    Args:
        conversation_id: Which.
        state: STATE_OPEN, STATE_ENDED or STATE_UNKNOWN, at the platform.
        fingerprint: Of what was read; None where some of it is too new to be compared.
        compared: Events that were compared.
        missing: Those that are on record nowhere, the oldest first.
        unreadable: Messages of the history in no known form, or with nothing to know them by.
        refused: Why the platform does not show it; None where it does.
    """

    conversation_id: str
    state: str
    fingerprint: str | None = None
    compared: int = 0
    missing: Sequence[Copy] = ()
    unreadable: int = 0
    refused: str | None = None


class Checker:
    """Reads conversations at the platform and looks for their events in processed_events.

    Args:
        engine: The database.
        history: The platform's.
        receipts: Whether receipts are compared.
    """

    def __init__(self, engine: Engine, history: PlatformHistory, *, receipts: bool) -> None:
        self._engine = engine
        self._history = history
        self._receipts = receipts

    def check(self, known: KnownConversation, bounds: Bounds) -> Checked:
        """Compare one conversation; two requests, or one where nothing is new since the fingerprint.

        One that the platform refuses to show, as of another division, stays open: it is asked for again.

        Raises:
            PlatformUnavailableError: As the client's.
            PlatformRefusedError: We are refused ourselves, whatever the conversation.
            RetryLaterError: The database is away.
        """
        try:
            return self._compare(known, bounds)
        except PlatformRefusedError as error:
            if error.is_of_credentials:
                raise
            return Checked(known.conversation_id, STATE_OPEN, refused=str(error))

    def _compare(self, known: KnownConversation, bounds: Bounds) -> Checked:
        conversation_id = known.conversation_id
        overview = self._history.overview(conversation_id)
        if overview is None:
            return Checked(conversation_id, STATE_UNKNOWN)
        state = STATE_ENDED if overview.is_ended else STATE_OPEN
        if overview.fingerprint == known.fingerprint:
            return Checked(conversation_id, state, known.fingerprint)
        manner = transact(self._engine, lambda connection: manner_of(connection, conversation_id))
        copies = [
            copy
            for data in self._history.messages(conversation_id, overview.message_ids)
            for copy in copies_of(conversation_id, data, manner, receipts=self._receipts)
        ]
        readable = [copy for copy in copies if copy is not None]
        compared = [each for each in readable if bounds.from_us <= each.event.occurred_at_us < bounds.to_us]
        too_new = any(each.event.occurred_at_us >= bounds.to_us for each in readable)
        return Checked(
            conversation_id,
            # What ended and is not wholly compared is read again.
            STATE_OPEN if too_new else state,
            None if too_new else overview.fingerprint,
            len(compared),
            self._missing_of(compared),
            len(copies) - len(readable),
        )

    def _missing_of(self, compared: Sequence[Copy]) -> list[Copy]:
        by_key = {each.event.idempotency_key: each for each in compared}
        known = transact(self._engine, lambda connection: known_keys(connection, by_key))
        missing = [copy for key, copy in by_key.items() if key not in known]
        return sorted(missing, key=lambda each: each.event.occurred_at_us)
