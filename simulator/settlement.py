"""Compare a sender's ledger with what the service has stored."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import Connection, CursorResult, Select, Table, and_, case, func, select
from sqlalchemy.sql.elements import ColumnElement

from simulator.ledger import LedgerRow
from workers.db.models import (
    conversation_messages,
    conversations,
    dead_letters,
    duplicate_events,
    event_payloads,
    message_receipts,
    processed_events,
)
from workers.intake import FILTERED
from workers.parsing import CONVERSATION_MESSAGE, RECEIPT

FETCH_ROWS: Final = 10_000
"""Rows held at a time: the tables may be larger than memory."""

EXPECTED_COUNTS: Final = {
    "event_count": "events",
    "message_count": "messages",
    "conversation_messages": "messages",
    "message_receipts": "receipts",
}
"""Each count that the workers keep of a conversation, and the events that it must equal."""


@dataclass(frozen=True, slots=True)
class Records:
    """What the tables hold of a ledger's bodies, by hexadecimal digests.

    Args:
        outcomes: The outcomes of each body's rows in processed_events.
        dead_letters: Digest and reason code of each row in dead_letters.
        deviations: For each count that the workers keep, such as a conversation's messages, the difference
            from the count that it should equal.
        conflicts: Bodies that have a known event's key and different content.
        kept: The stored bodies, with digests computed from the stored bytes.
    """

    outcomes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    dead_letters: Sequence[tuple[str, str]] = ()
    deviations: Sequence[int] = ()
    conflicts: Collection[str] = frozenset()
    kept: Collection[str] = frozenset()


@dataclass(frozen=True, slots=True)
class LedgerVerdict:
    """The result of the comparison. A *subject* is a distinct event, or a distinct malformed body.

    Args:
        sent: Requests made.
        answered: Distinct bodies that were answered 200.
        unique: Subjects with at least one body that was answered 200.
        processed: Subjects with a row in processed_events that took effect.
        skipped: Subjects with a row that took no effect.
        dead_lettered: Subjects with a dead letter and no row.
        conflicts: Answered bodies that are recorded as conflicts.
        lost: Answered subjects that are found nowhere, answered bodies that can no longer be read, and
            missing effects.
        repeated: Effects beyond one for each event.
    """

    sent: int
    answered: int
    unique: int
    processed: int
    skipped: int
    dead_lettered: int
    conflicts: int
    lost: int
    repeated: int

    def __str__(self) -> str:
        return " ".join(f"{name}={value}" for name, value in asdict(self).items())


@dataclass(frozen=True, slots=True)
class _Subject:
    bodies: Sequence[LedgerRow]
    outcomes: Sequence[str]
    is_dead: bool

    @property
    def is_answered(self) -> bool:
        return any(body.answered for body in self.bodies)

    def lost(self, readable: Collection[str]) -> int:
        """Return 1 if the subject is found nowhere, otherwise the number of its unreadable bodies."""
        if not self.outcomes and not self.is_dead:
            return int(self.is_answered)
        return sum(body.answered and body.body_sha256 not in readable for body in self.bodies)


def settle(ledger: Sequence[LedgerRow], records: Records, *, queued: Iterable[str]) -> LedgerVerdict:
    """Compare; the queues must be drained and the journal empty.

    Args:
        ledger: What was sent.
        records: What the tables hold; other senders' bodies are ignored.
        queued: Digests of the bodies in the dead-letter queue, hexadecimal.
    """
    subjects = _subjects(ledger, records)
    readable = {*records.kept, *queued}
    return LedgerVerdict(
        sent=sum(row.attempts for row in ledger),
        answered=sum(row.answered for row in ledger),
        unique=sum(subject.is_answered for subject in subjects),
        processed=sum("processed" in subject.outcomes for subject in subjects),
        skipped=sum(bool(one.outcomes) and "processed" not in one.outcomes for one in subjects),
        dead_lettered=sum(subject.is_dead and not subject.outcomes for subject in subjects),
        conflicts=sum(row.answered and row.body_sha256 in records.conflicts for row in ledger),
        lost=sum(subject.lost(readable) for subject in subjects)
        + sum(max(0, -value) for value in records.deviations),
        repeated=sum(max(0, len(subject.outcomes) - 1) for subject in subjects)
        + sum(max(0, value) for value in records.deviations),
    )


def _subjects(ledger: Iterable[LedgerRow], records: Records) -> list[_Subject]:
    """Group the bodies by event; a malformed body is a group of its own."""
    bodies = defaultdict[int | str, list[LedgerRow]](list)
    for row in ledger:
        bodies[row.body_sha256 if row.event is None else row.event].append(row)
    dead = {digest for digest, _ in records.dead_letters}
    return [
        _Subject(
            rows,
            [outcome for row in rows for outcome in records.outcomes.get(row.body_sha256, ())],
            any(row.body_sha256 in dead for row in rows),
        )
        for rows in bodies.values()
    ]


def read_records(connection: Connection, digests: Collection[str]) -> Records:
    """Return what the tables hold of the bodies with these hexadecimal digests."""
    table, outcomes, conversation_ids = processed_events.c, defaultdict[str, list[str]](list), set[str]()
    for row in _rows(connection, select(table.body_sha256, table.conversation_id, table.outcome)):
        if (digest := row.body_sha256.hex()) in digests:
            outcomes[digest].append(row.outcome)
            conversation_ids.add(row.conversation_id)
    dead = _rows(connection, select(dead_letters.c.body_sha256, dead_letters.c.code))
    dead_rows = [(row.body_sha256.hex(), row.code) for row in dead]
    conflicts = _rows(connection, select(duplicate_events.c.body_sha256))
    return Records(
        outcomes=outcomes,
        dead_letters=[(digest, code) for digest, code in dead_rows if digest in digests],
        deviations=list(_deviations(connection, conversation_ids)),
        conflicts={digest.hex() for (digest,) in conflicts} & set(digests),
        kept=_stored(connection) & set(digests),
    )


def _stored(connection: Connection) -> set[str]:
    """Return the digest of every stored body, computed from its bytes."""
    columns = (event_payloads.c.body, duplicate_events.c.body)
    return {sha256(body).hexdigest() for column in columns for (body,) in _rows(connection, select(column))}


def _deviations(connection: Connection, conversation_ids: Collection[str]) -> Iterator[int]:
    """Yield for each count of these conversations by how much it is too high."""
    events = _expected_counts().subquery("events")
    messages = _count_rows(conversation_messages).subquery("messages")
    receipts = _count_rows(message_receipts).subquery("receipts")
    conversation_id = events.c.conversation_id
    query = (
        select(
            conversation_id,
            events.c.events,
            events.c.messages,
            events.c.receipts,
            func.coalesce(conversations.c.event_count, 0).label("event_count"),
            func.coalesce(conversations.c.message_count, 0).label("message_count"),
            func.coalesce(messages.c.rows, 0).label("conversation_messages"),
            func.coalesce(receipts.c.rows, 0).label("message_receipts"),
        )
        .outerjoin(conversations, conversations.c.conversation_id == conversation_id)
        .outerjoin(messages, messages.c.conversation_id == conversation_id)
        .outerjoin(receipts, receipts.c.conversation_id == conversation_id)
    )
    for row in _rows(connection, query).mappings():
        if row["conversation_id"] in conversation_ids:
            for counter, expected in EXPECTED_COUNTS.items():
                yield row[counter] - row[expected]


def _expected_counts() -> Select[Any]:
    """Count the events that belong to each conversation; those that the event filter rejects do not."""
    table = processed_events.c
    entered = table.reason.is_distinct_from(FILTERED)
    return select(
        table.conversation_id,
        _count_where(entered).label("events"),
        _count_where(and_(entered, table.event_type == CONVERSATION_MESSAGE)).label("messages"),
        _count_where(and_(entered, table.event_type == RECEIPT)).label("receipts"),
    ).group_by(table.conversation_id)


def _count_where(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((condition, 1), else_=0))


def _count_rows(table: Table) -> Select[Any]:
    return select(table.c.conversation_id, func.count().label("rows")).group_by(table.c.conversation_id)


def _rows(connection: Connection, query: Select[Any]) -> CursorResult[Any]:
    return connection.execution_options(yield_per=FETCH_ROWS).execute(query)
