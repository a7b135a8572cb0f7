"""Compare a sender's ledger with what the service has stored."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import Connection, CursorResult, Select, Table, func, select

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


@dataclass(frozen=True, slots=True)
class Records:
    """What the tables hold of a ledger's bodies, by hexadecimal digests.

    `outcomes`: of each body's rows in processed_events. `dead_letters`: digest and reason code of each row.
    `deviations`: for each count that the workers keep, such as a conversation's messages, by how much it is
    too high. `conflicts`: bodies with a known event's key and other content. `kept`: the digests of the
    stored bytes.
    """

    outcomes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    dead_letters: Sequence[tuple[str, str]] = ()
    deviations: Sequence[int] = ()
    conflicts: Collection[str] = frozenset()
    kept: Collection[str] = frozenset()


@dataclass(frozen=True, slots=True)
class LedgerVerdict:
    """The result of the comparison. A *subject* is a distinct event, or a distinct malformed body.

    `sent` counts requests, `answered` and `conflicts` distinct bodies that were answered 200, `repeated`
    effects beyond one for each event, and all others subjects: `unique` those with a body that was answered
    200, `processed` and `skipped` those with a row that did or did not take effect, `dead_lettered` those
    with a dead letter and no row. `lost` are answered subjects that are found nowhere, answered bodies that
    can no longer be read, and missing effects.
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


def settle(ledger: Sequence[LedgerRow], records: Records, *, queued: Iterable[str]) -> LedgerVerdict:
    """Compare; the queues must be drained and the journal empty.

    Bodies of other senders are ignored. *queued* has the digests of those in the dead-letter queue.
    """
    dead, readable = {digest for digest, _ in records.dead_letters}, {*records.kept, *queued}
    bodies = defaultdict[int | str, list[LedgerRow]](list)
    for row in ledger:
        # A malformed body is a subject of its own.
        bodies[row.body_sha256 if row.event is None else row.event].append(row)
    totals = Counter(
        sent=sum(row.attempts for row in ledger),
        answered=sum(row.answered for row in ledger),
        conflicts=sum(row.answered and row.body_sha256 in records.conflicts for row in ledger),
    )
    for rows in bodies.values():
        outcomes = [outcome for row in rows for outcome in records.outcomes.get(row.body_sha256, ())]
        answered = [row.body_sha256 for row in rows if row.answered]
        is_dead = any(row.body_sha256 in dead for row in rows)
        totals["unique"] += bool(answered)
        totals["processed"] += "processed" in outcomes
        totals["skipped"] += bool(outcomes) and "processed" not in outcomes
        totals["dead_lettered"] += is_dead and not outcomes
        totals["repeated"] += max(0, len(outcomes) - 1)
        is_found = bool(outcomes) or is_dead
        totals["lost"] += sum(digest not in readable for digest in answered) if is_found else bool(answered)
    totals["lost"] += sum(max(0, -value) for value in records.deviations)
    totals["repeated"] += sum(max(0, value) for value in records.deviations)
    return LedgerVerdict(**{figure.name: totals[figure.name] for figure in fields(LedgerVerdict)})


def read_records(connection: Connection, digests: Collection[str]) -> Records:
    """Return the database's records of the bodies with these hexadecimal digests."""
    table, outcomes, conversation_ids = processed_events.c, defaultdict[str, list[str]](list), set[str]()
    for row in _rows(connection, select(table.body_sha256, table.conversation_id, table.outcome)):
        if (digest := row.body_sha256.hex()) in digests:
            outcomes[digest].append(row.outcome)
            conversation_ids.add(row.conversation_id)
    dead = _rows(connection, select(dead_letters.c.body_sha256, dead_letters.c.code))
    dead_rows = [(row.body_sha256.hex(), row.code) for row in dead]
    conflicts = _rows(connection, select(duplicate_events.c.body_sha256))
    bodies = select(event_payloads.c.body), select(duplicate_events.c.body)
    return Records(
        outcomes=outcomes,
        dead_letters=[(digest, code) for digest, code in dead_rows if digest in digests],
        deviations=list(_deviations(connection, conversation_ids)),
        conflicts={digest.hex() for (digest,) in conflicts} & set(digests),
        # Computed from the stored bytes.
        kept={sha256(body).hexdigest() for query in bodies for (body,) in _rows(connection, query)}
        & set(digests),
    )


def _deviations(connection: Connection, conversation_ids: Collection[str]) -> Iterator[int]:
    """Yield for each count that the workers keep of these conversations by how much it is too high.

    Events that the event filter rejects belong to no conversation.
    """
    kept = {
        row.conversation_id: (row.event_count, row.message_count)
        for row in _rows(connection, select(conversations))
        if row.conversation_id in conversation_ids
    }
    stored = [_count_rows(connection, table) for table in (conversation_messages, message_receipts)]
    events = processed_events.c
    types = select(events.conversation_id, events.event_type).where(events.reason.is_distinct_from(FILTERED))
    expected = defaultdict[str, Counter[str]](Counter)
    for row in _rows(connection, types):
        if row.conversation_id in conversation_ids:
            expected[row.conversation_id][row.event_type] += 1
    for conversation_id in conversation_ids:
        counts = expected[conversation_id]
        event_count, message_count = kept.get(conversation_id, (0, 0))
        yield event_count - counts.total()
        yield message_count - counts[CONVERSATION_MESSAGE]
        yield stored[0][conversation_id] - counts[CONVERSATION_MESSAGE]
        yield stored[1][conversation_id] - counts[RECEIPT]


def _count_rows(connection: Connection, table: Table) -> Counter[str]:
    column = table.c.conversation_id
    counts = select(column, func.count().label("rows")).group_by(column)
    return Counter({row.conversation_id: row.rows for row in _rows(connection, counts)})


def _rows(connection: Connection, query: Select[Any]) -> CursorResult[Any]:
    return connection.execution_options(yield_per=FETCH_ROWS).execute(query)
