"""Compare conversations one by one: publish what is missing, then put on record that it was."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from messaging.envelope import RECONCILE, Envelope
from messaging.log import logger
from workers.tables import (
    known_gaps,
    note_conversation,
    note_gaps,
    note_reconciliation,
    reconciliations,
    transact,
)

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, Row

    from messaging.clock import Clock
    from workers.reconcile.broker import EventsExchange
    from workers.reconcile.checking import Bounds, Checked, Checker
    from workers.reconcile.copies import Copy
    from workers.tables import KnownConversation, Reconciliation

_R: Final = reconciliations.c

REPORTED: Final = (
    "conversations",
    "compared",
    "missing",
    "published",
    "waiting",
    "unreadable",
    "unlisted",
    "passed_over",
)

log = logger()


@dataclass(frozen=True, slots=True)
class Found:
    """What a comparison found in one conversation.

    Args:
        checked: What there was.
        published: What was missing and was published.
    """

    checked: Checked
    published: tuple[Copy, ...]


class Comparer:
    """Carries out a comparison.

    Args:
        engine: The database.
        clock: Our time.
        checker: Compares a conversation.
        exchange: Where what is missing goes.
        holder: This process, in the records.
        again: Whether gaps that were published before, and are not processed, are published once more.
    """

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        checker: Checker,
        exchange: EventsExchange,
        *,
        holder: str,
        again: bool,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._checker = checker
        self._exchange = exchange
        self._holder = holder
        self._again = again

    def compare(
        self,
        reconciliation: Reconciliation,
        known: KnownConversation,
        bounds: Bounds,
        *,
        unanswered: int = 0,
    ) -> Found:
        """Compare one conversation and have what is missing take effect.

        The broker has confirmed the copies before the conversation counts as read. Whoever is killed between
        the two leaves them to be published once more, which has no effect. With it are passed over those just
        before it that had no answer, *unanswered* of them.

        Raises:
            RetryLaterError: Platform or database are away: compare it again.
            BrokerUnavailableError: Likewise the broker.
            ConfigurationError: Likewise, where the broker refuses us.
            PlatformRefusedError: Our credentials: a person has to look.
        """
        began_us = self._clock.now_us()
        checked = self._checker.check(known, bounds)
        published = self._new_of(checked)
        self._exchange.publish([self._envelope_of(each) for each in published])

        def note(connection: Connection) -> None:
            gaps = [(each.event, message_id_of(each)) for each in published]
            note_gaps(connection, reconciliation.reconciliation_id, gaps, self._clock.now_us())
            note_conversation(
                connection, checked.conversation_id, checked.state, checked.fingerprint, began_us
            )
            note_reconciliation(
                connection,
                reconciliation.reconciliation_id,
                self._holder,
                self._clock.now_us(),
                read_through=checked.conversation_id,
                conversations=_R.conversations + int(checked.refused is None),
                compared=_R.compared + checked.compared,
                missing=_R.missing + len(checked.missing),
                published=_R.published + len(published),
                waiting=_R.waiting + len(checked.missing) - len(published),
                unreadable=_R.unreadable + checked.unreadable,
                passed_over=_R.passed_over + unanswered + int(checked.refused is not None),
            )

        transact(self._engine, note)
        return Found(checked, tuple(published))

    def _new_of(self, checked: Checked) -> list[Copy]:
        """Return what is to be published: what was not before, unless all of it is.

        A copy that cannot be processed would otherwise become a dead letter each time anew.
        """
        keys = {each.event.idempotency_key for each in checked.missing}
        if self._again or not keys:
            return list(checked.missing)
        before = transact(self._engine, lambda connection: known_gaps(connection, keys))
        return [each for each in checked.missing if each.event.idempotency_key not in before]

    def _envelope_of(self, copy: Copy) -> Envelope:
        message_id = message_id_of(copy)
        return Envelope(message_id, self._clock.now_us(), message_id, RECONCILE, copy.body)


def message_id_of(copy: Copy) -> str:
    """Return a copy's message id, the same each time it is published."""
    return f"reconcile-{hashlib.sha256(copy.event.idempotency_key.encode()).hexdigest()[:32]}"


def tell(found: Found) -> None:
    """Log what was missing, and what the platform does not show."""
    conversation_id, refused = found.checked.conversation_id, found.checked.refused
    if refused is not None:
        log.warning("conversation_refused", conversation_id=conversation_id, reason=refused)
    for copy in found.published:
        log.warning(
            "event_missing",
            conversation_id=conversation_id,
            event_type=copy.event.event_type,
            platform_message_id=copy.event.platform_message_id,
            message_id=message_id_of(copy),
        )


def tell_finished(row: Row[Any]) -> None:
    """Log what a comparison came to."""
    told = {name: getattr(row, name) for name in REPORTED}
    log.info("reconciliation_finished", reconciliation=row.id, **told)
