"""Compare one conversation with the platform's history, without changing anything."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Engine

from messaging.envelope import WEBHOOK
from workers.db import reconcile as records
from workers.db.engine import transact
from workers.genesys import PlatformRefusedError
from workers.parsing import GENESYS, GUIDE, RECEIPT, microseconds_of
from workers.reconcile.bounds import Bounds
from workers.reconcile.platform_history import MAX_MESSAGES, PlatformHistory
from workers.reconcile.reconstruction import ReconstructedEvent, reconstruct_events


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of comparing one conversation.

    Args:
        read_at_us: When the check began to read the conversation.
        fingerprint: Digest of the conversation's messages; None if some are too new or unreadable.
        missing: Events in the history that are not recorded here, oldest first.
        unreadable: Number of events of an unknown form, plus the history's surplus if messages have no ids.
        ours: Number of our events that were looked up in the history; `unmatched` of them were not found.
        refused: Why the platform refused to return the conversation; `failed` explains any other failure.
    """

    conversation_id: str
    read_at_us: int
    state: str = records.STATE_OPEN
    fingerprint: str | None = None
    messages: int | None = None
    compared: int = 0
    missing: Sequence[ReconstructedEvent] = ()
    published: Sequence[ReconstructedEvent] = ()
    unreadable: int = 0
    ours: int = 0
    unmatched: int = 0
    refused: str | None = None
    failed: str | None = None

    @property
    def is_compared(self) -> bool:
        """Whether the conversation was compared."""
        return self.refused is None and self.failed is None


def check_conversation(
    engine: Engine, history: PlatformHistory, known: records.KnownConversation, bounds: Bounds, now_us: int
) -> Iterator[CheckResult | None]:
    """Compare one conversation; yield None between two requests, and finally the result.

    If the fingerprint has not changed, only one request is sent. If the platform refuses to return the
    conversation, for example because of its division, the conversation stays open and is retried later.
    """
    result = CheckResult(known.conversation_id, now_us)
    try:
        overview = history.read_overview(known.conversation_id)
        if overview is None:
            result = replace(result, state=records.STATE_UNKNOWN)
            # The platform has all our conversations, except those whose ids (with a slash) we made ourselves.
            can_match = _has_keys(transact(engine, records.read_dialect_profile, known.conversation_id))
            is_named = "/" in known.conversation_id
            yield _check_own(engine, result, bounds, set() if can_match and not is_named else None)
            return
        state = records.STATE_ENDED if overview.is_ended else records.STATE_OPEN
        count, fingerprint = len(overview.message_ids), overview.fingerprint
        result = replace(result, state=state, fingerprint=fingerprint, messages=count)
        if fingerprint == known.fingerprint:
            yield result
        else:
            yield from _compare(engine, history, result, overview.message_ids, bounds)
    except PlatformRefusedError as error:
        if error.is_of_credentials:
            raise
        yield CheckResult(known.conversation_id, now_us, refused=str(error))


def _compare(
    engine: Engine, history: PlatformHistory, result: CheckResult, ids: Sequence[str], bounds: Bounds
) -> Iterator[CheckResult | None]:
    conversation_id = result.conversation_id
    profile = transact(engine, records.read_dialect_profile, conversation_id)
    has_keys = _has_keys(profile)
    keys: set[str] = set()
    missing: dict[str, ReconstructedEvent] = {}
    compared = unreadable = 0
    is_too_new = False
    for start in range(0, len(ids), MAX_MESSAGES):
        if start:
            yield None
        events = [
            event
            for data in history.read_messages(conversation_id, ids[start : start + MAX_MESSAGES])
            for event in reconstruct_events(conversation_id, data, profile)
        ]
        readable = [event for event in events if event is not None]
        within = [event for event in readable if bounds.contain(event.event.occurred_at_us)]
        keys |= {event.key for event in readable}
        compared += len(within)
        unreadable += len(events) - len(readable)
        is_too_new |= any(event.event.occurred_at_us >= bounds.to_us for event in readable)
        if has_keys:
            by_key = {event.key: event for event in within}
            known = transact(engine, records.find_known_keys, by_key)
            missing |= {key: event for key, event in by_key.items() if key not in known}
    in_order = sorted(missing.values(), key=lambda event: event.event.occurred_at_us)
    result = replace(result, compared=compared, unreadable=unreadable, missing=in_order)
    if is_too_new:
        # Some messages are too new, so the conversation must be read again, even if it has ended.
        result = replace(result, state=records.STATE_OPEN, fingerprint=None)
    elif unreadable:
        # Read the conversation again unless it has ended: the platform might still be writing these messages.
        result = replace(result, fingerprint=None)
    yield _check_own(engine, result, bounds, keys if has_keys else None)


def _has_keys(profile: records.DialectProfile) -> bool:
    """Return whether our events' keys can be built from the history; guide messages need ids for this."""
    return profile.dialect != GUIDE or profile.has_ids


def _check_own(engine: Engine, result: CheckResult, bounds: Bounds, keys: set[str] | None) -> CheckResult:
    """Look up our events in the history's *keys*; if *keys* is None, compare only the numbers of events."""
    rows = transact(engine, records.read_own_events, result.conversation_id)
    own = [row for row in rows if bounds.contain(microseconds_of(row.occurred_at))]
    if any(bounds.to_us <= microseconds_of(row.occurred_at) <= result.read_at_us for row in rows):
        # Some of our events are too new. Future events do not count: they would keep the state open for days.
        result = replace(result, state=records.STATE_OPEN, fingerprint=None)
    if keys is None:
        # Messages in the guide's envelope without ids cannot be identified, so only numbers are compared.
        # Events that are too new can cause a surplus, but then the conversation is read again.
        is_read_again = result.fingerprint is None
        excess = 0 if is_read_again else result.compared - sum(row.event_type != RECEIPT for row in own)
        return replace(result, unreadable=result.unreadable + max(0, excess))
    ours = [row.idempotency_key for row in own if row.source == WEBHOOK and _is_in_history(row)]
    return replace(result, ours=len(ours), unmatched=sum(key not in keys for key in ours))


def _is_in_history(row: Any) -> bool:
    """Return whether the history yields this event: it yields all except native messages from customers."""
    is_native_message = row.dialect == GENESYS and row.event_type != RECEIPT
    return not (is_native_message and row.idempotency_key.split(":")[1:2] == ["inbound"])
