"""Check one conversation against the platform's history; changes nothing."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from messaging.envelope import WEBHOOK
from workers.db.engine import transact
from workers.db.reconcile import STATE_ENDED, STATE_OPEN, STATE_UNKNOWN, known_keys, manner_of, own_events
from workers.genesys import PlatformRefusedError
from workers.parsing import GENESYS, GUIDE, RECEIPT, microseconds_of
from workers.reconcile.copies import copies_of
from workers.reconcile.platform_history import MESSAGES_AT_ONCE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy import Engine

    from workers.db.reconcile import KnownConversation, Manner
    from workers.reconcile.copies import Copy
    from workers.reconcile.platform_history import PlatformHistory


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is compared: events from a moment on, up to another; microseconds since the epoch."""

    from_us: int
    to_us: int

    def contain(self, at_us: int) -> bool:
        """Return whether an event of that moment is compared."""
        return self.from_us <= at_us < self.to_us


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found in a conversation, or in a piece of it.

    Args:
        conversation_id: Which.
        state: STATE_OPEN, STATE_ENDED or STATE_UNKNOWN, at the platform.
        fingerprint: Of what was read; None if some of it is too new to be compared.
        compared: Events that were compared.
        missing: Those that we do not know, the oldest first.
        unreadable: Events of the history in no known form, or in excess of ours without an id.
        through: The last message of the piece, if there are more; None at the end of the conversation.
        messages: How many the conversation has; None before its end.
        ours: Events of webhooks that were looked for in the history.
        unmatched: Of these, how many the history does not have.
        refused: Why the platform does not show it; None if it does.
    """

    conversation_id: str
    state: str
    fingerprint: str | None = None
    compared: int = 0
    missing: Sequence[Copy] = ()
    unreadable: int = 0
    through: str | None = None
    messages: int | None = None
    ours: int = 0
    unmatched: int = 0
    refused: str | None = None


@dataclass(slots=True)
class _Seen:
    """What the history showed of a conversation so far."""

    keys: set[str] = field(default_factory=set)
    compared: int = 0
    is_too_new: bool = False


class Checker:
    """Reads conversations at the platform and looks for their events in our records, and the other way round.

    Args:
        engine: The database.
        history: The platform's.
    """

    def __init__(self, engine: Engine, history: PlatformHistory) -> None:
        self._engine = engine
        self._history = history

    def check(self, known: KnownConversation, bounds: Bounds) -> Iterator[Checked]:
        """Yield the pieces of a conversation, each after a request or two; the last has no `through`.

        A conversation without a new message or status since its fingerprint costs one request. One that the
        platform refuses to show, as of another division, stays open: it is asked for again.

        Raises:
            PlatformUnavailableError: As the client's.
            PlatformRefusedError: We are refused ourselves, whatever the conversation.
            RetryLaterError: The database is away.
        """
        try:
            yield from self._pieces(known, bounds)
        except PlatformRefusedError as error:
            if error.is_of_credentials:
                raise
            yield Checked(known.conversation_id, STATE_OPEN, refused=str(error))

    def _pieces(self, known: KnownConversation, bounds: Bounds) -> Iterator[Checked]:
        conversation_id = known.conversation_id
        overview = self._history.overview(conversation_id)
        if overview is None:
            yield Checked(conversation_id, STATE_UNKNOWN)
            return
        messages = len(overview.message_ids)
        state = STATE_ENDED if overview.is_ended else STATE_OPEN
        if overview.fingerprint == known.fingerprint:
            yield Checked(conversation_id, state, known.fingerprint, messages=messages)
            return
        manner = transact(self._engine, lambda connection: manner_of(connection, conversation_id))
        # In the order of their ids: an interrupted reading goes on there, whatever was said meanwhile.
        ids = sorted(each for each in overview.message_ids if each > (known.compared_through or ""))
        seen, piece = _Seen(), Checked(conversation_id, STATE_OPEN)
        for start in range(0, len(ids), MESSAGES_AT_ONCE):
            if start:
                yield piece
            some = ids[start : start + MESSAGES_AT_ONCE]
            piece = self._piece(conversation_id, some, manner, bounds, seen)
        piece = replace(piece, through=None, messages=messages)
        if known.compared_through is not None:
            # What was too new, or of ours, before the interruption is unknown: the next comparison reads it.
            yield piece
            return
        piece = self._with_ours(piece, manner, bounds, seen)
        # What ended and is not wholly compared is read again.
        yield piece if seen.is_too_new else replace(piece, state=state, fingerprint=overview.fingerprint)

    def _piece(
        self, conversation_id: str, ids: Sequence[str], manner: Manner, bounds: Bounds, seen: _Seen
    ) -> Checked:
        copies = [
            copy
            for data in self._history.messages(conversation_id, ids)
            for copy in copies_of(conversation_id, data, manner)
        ]
        readable = [copy for copy in copies if copy is not None]
        compared = [copy for copy in readable if bounds.contain(copy.event.occurred_at_us)]
        seen.keys |= {copy.event.idempotency_key for copy in readable}
        seen.compared += len(compared)
        seen.is_too_new |= any(copy.event.occurred_at_us >= bounds.to_us for copy in readable)
        return Checked(
            conversation_id,
            STATE_OPEN,
            compared=len(compared),
            missing=self._missing_of(compared) if _has_keys(manner) else (),
            unreadable=len(copies) - len(readable),
            through=ids[-1],
        )

    def _missing_of(self, compared: Sequence[Copy]) -> list[Copy]:
        by_key = {copy.event.idempotency_key: copy for copy in compared}
        known = transact(self._engine, lambda connection: known_keys(connection, by_key))
        missing = [copy for key, copy in by_key.items() if key not in known]
        return sorted(missing, key=lambda copy: copy.event.occurred_at_us)

    def _with_ours(self, piece: Checked, manner: Manner, bounds: Bounds, seen: _Seen) -> Checked:
        """Look for our events in the history; without ids, compare how many there are."""
        rows = transact(self._engine, lambda connection: own_events(connection, piece.conversation_id))
        own = [row for row in rows if bounds.contain(microseconds_of(row.occurred_at))]
        if not _has_keys(manner):
            excess = seen.compared - sum(row.event_type != RECEIPT for row in own)
            return replace(piece, unreadable=piece.unreadable + max(0, excess))
        ours = [
            row.idempotency_key
            for row in own
            if row.source == WEBHOOK and _is_in_history(row.dialect, row.event_type, row.idempotency_key)
        ]
        return replace(piece, ours=len(ours), unmatched=_missing_from(seen.keys, ours))


def _missing_from(keys: set[str], wanted: Iterable[str]) -> int:
    return sum(key not in keys for key in wanted)


def _has_keys(manner: Manner) -> bool:
    """Return whether a copy can be told from its original: not if the guide's messages come without ids."""
    return manner.dialect != GUIDE or manner.has_ids


def _is_in_history(dialect: str, event_type: str, key: str) -> bool:
    """Return whether the history has such an event: of native messages, those to the customer."""
    is_native_message = dialect == GENESYS and event_type != RECEIPT
    return not (is_native_message and key.split(":")[1:2] == ["inbound"])
