"""Compare a sender's ledger with the tables and the dead-letter queue: they must agree on every event.

Every body that got a 200 must be readable, byte for byte, from the tables or the queue.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from rich.box import SIMPLE
from rich.table import Column, Table
from sqlalchemy import Connection, NullPool, Select, create_engine, func, select

from messaging import topology
from messaging.admin import broker_session, peek
from simulator.ledger import LedgerRow, read_ledger
from workers.db.models import (
    conversation_messages,
    conversations,
    dead_letters,
    event_conflicts,
    event_payloads,
    message_receipts,
    processed_events,
)
from workers.intake import FILTERED
from workers.parsing import CONVERSATION_MESSAGE, RECEIPT

COUNTED: Final = {
    CONVERSATION_MESSAGE: ("message_count", conversation_messages.name),
    RECEIPT: (message_receipts.name,),
}
"""For each event type, the counts that such an event increments in addition to `event_count`."""


@dataclass(frozen=True, slots=True)
class Records:
    """The tables' records of the ledger's bodies, and the bodies in the dead-letter queue, by hex digest."""

    outcomes: Mapping[str, Sequence[str]] = field(default_factory=dict)  # of the rows in processed_events
    dead_letters: Sequence[tuple[str, str]] = ()  # digest and reason code of each row
    deviations: Sequence[int] = ()  # by how much each count that the workers keep is too high
    conflicts: Collection[str] = frozenset()  # bodies with the key of a known event but different content
    kept: Collection[str] = frozenset()  # digests of stored bytes
    queued: Sequence[str] = ()  # digests of the bodies in the dead-letter queue


@dataclass(slots=True)
class LedgerVerdict:
    """The result of the comparison. A *subject* is a distinct event, or a distinct malformed body."""

    sent: int = 0  # requests
    answered: int = 0  # distinct bodies that got a 200
    unique: int = 0  # subjects with a body that got a 200
    processed: int = 0  # subjects with a row that took effect
    skipped: int = 0  # subjects with rows, none of which took effect
    dead_lettered: int = 0  # subjects with a dead letter and no row
    conflicts: int = 0  # answered bodies with a known event's key but different content
    lost: int = 0  # answered subjects found nowhere, answered bodies no longer readable, missing effects
    repeated: int = 0  # effects in excess of one per event

    def __str__(self) -> str:
        return " ".join(f"{name}={value}" for name, value in asdict(self).items())


def settle(ledger: Sequence[LedgerRow], records: Records) -> LedgerVerdict:
    """Compare the ledger with the records; ignore other senders' bodies. The journal must be empty."""
    dead, readable = {digest for digest, _ in records.dead_letters}, {*records.kept, *records.queued}
    bodies = defaultdict[int | str, list[LedgerRow]](list)
    for row in ledger:
        # A malformed body has no event, so it is a subject of its own.
        bodies[row.body_sha256 if row.event is None else row.event].append(row)
    verdict = LedgerVerdict(
        sent=sum(row.attempts for row in ledger),
        answered=sum(row.answered for row in ledger),
        conflicts=sum(row.answered and row.body_sha256 in records.conflicts for row in ledger),
        lost=sum(max(0, -value) for value in records.deviations),
        repeated=sum(max(0, value) for value in records.deviations),
    )
    for rows in bodies.values():
        outcomes = [outcome for row in rows for outcome in records.outcomes.get(row.body_sha256, ())]
        answered = [row.body_sha256 for row in rows if row.answered]
        is_dead = any(row.body_sha256 in dead for row in rows)
        verdict.unique += bool(answered)
        verdict.processed += "processed" in outcomes
        verdict.skipped += bool(outcomes) and "processed" not in outcomes
        verdict.dead_lettered += is_dead and not outcomes
        verdict.repeated += max(0, len(outcomes) - 1)
        is_found = bool(outcomes) or is_dead
        verdict.lost += sum(digest not in readable for digest in answered) if is_found else bool(answered)
    return verdict


def read_records(connection: Connection, digests: Collection[str], queued: Sequence[str]) -> Records:
    """Return the database's records of the bodies with these hex *digests*, together with *queued*."""
    table, outcomes, conversation_ids = processed_events.c, defaultdict[str, list[str]](list), set[str]()
    for row in _rows(connection, select(table.body_sha256, table.conversation_id, table.outcome)):
        if (digest := row.body_sha256.hex()) in digests:
            outcomes[digest].append(row.outcome)
            conversation_ids.add(row.conversation_id)
    dead = _rows(connection, select(dead_letters.c.body_sha256, dead_letters.c.code))
    conflicts = _rows(connection, select(event_conflicts.c.body_sha256))
    bodies = select(event_payloads.c.body), select(event_conflicts.c.body)
    return Records(
        outcomes=outcomes,
        dead_letters=[(digest.hex(), code) for digest, code in dead if digest.hex() in digests],
        deviations=_deviations(connection, conversation_ids),
        conflicts={digest.hex() for (digest,) in conflicts if digest.hex() in digests},
        # Compute the digests from the stored bytes, which must equal the bytes that were sent.
        kept={
            digest
            for query in bodies
            for (body,) in _rows(connection, query)
            if (digest := sha256(body).hexdigest()) in digests
        },
        queued=queued,
    )


def _deviations(connection: Connection, conversation_ids: Collection[str]) -> list[int]:
    """Return by how much each of these conversations' counts is too high. Filtered events do not count."""
    deviations = Counter[tuple[str, str]]()
    for row in _rows(connection, select(conversations)):
        if row.conversation_id in conversation_ids:
            deviations[row.conversation_id, "event_count"] = row.event_count
            deviations[row.conversation_id, "message_count"] = row.message_count
    for table in (conversation_messages, message_receipts):
        column = table.c.conversation_id
        for conversation_id, rows in _rows(connection, select(column, func.count()).group_by(column)):
            if conversation_id in conversation_ids:
                deviations[conversation_id, table.name] = rows
    events = processed_events.c
    types = select(events.conversation_id, events.event_type).where(events.reason.is_distinct_from(FILTERED))
    for conversation_id, event_type in _rows(connection, types):
        if conversation_id in conversation_ids:
            deviations.subtract(
                (conversation_id, count) for count in ("event_count", *COUNTED.get(event_type, ()))
            )
    return list(deviations.values())


def _rows(connection: Connection, query: Select[Any]) -> Iterable[Any]:
    # Fetch a limited number of rows at a time, because the tables might not fit in memory.
    return connection.execution_options(yield_per=10_000).execute(query)


@dataclass(frozen=True, slots=True)
class Accounts:
    """A sender's ledger, the records of the tables and the queue, and the result of comparing them."""

    ledger: Sequence[LedgerRow]
    records: Records
    verdict: LedgerVerdict

    def conclusion(self, counts: Mapping[str, int]) -> str:
        """Return the result in sentences for a reader who is new to the service."""
        verdict = self.verdict
        return (
            f"{verdict.unique} distinct events were answered 200, and each was processed once: "
            f"{verdict.processed} took effect, {verdict.skipped} were recorded as skipped, and "
            f"{verdict.dead_lettered} malformed ones became dead letters with a reason.\n"
            "Skipped events need no action: an agent was typing, or an update changed no routing state.\n"
            f"{counts['withheld']} more events were never sent. Reconciliation found {counts['missing']} "
            f"events in the platform's history that the service had not received, and recovered "
            f"{counts['recovered']} of the {counts['withheld']}.\n"
            f"{verdict.lost} events were lost, and {verdict.repeated} took effect twice."
        )

    def outcome_table(self) -> Table:
        """Return a table that shows what happened to each kind of body."""
        outcomes = {digest: "dead" for digest, _ in self.records.dead_letters}
        outcomes |= dict.fromkeys(self.records.conflicts, "conflict")
        outcomes |= {digest: found[-1] for digest, found in self.records.outcomes.items()}
        names = ("requests", "bodies", "200", "processed", "skipped", "dead", "conflict")
        columns = (Column(name, justify="right") for name in names)
        title = "What happened to the events"
        table = Table("kind", *columns, title=title, title_justify="left", box=SIMPLE)
        by_kind = defaultdict[str, list[LedgerRow]](list)
        for row in self.ledger:
            # All malformed bodies share one row; reason_table shows their reasons.
            by_kind[row.kind.partition(":")[0]].append(row)
        for kind, rows in sorted(by_kind.items()):
            ends = Counter(outcomes.get(row.body_sha256, "nothing") for row in rows if row.answered)
            totals = (sum(row.attempts for row in rows), len(rows), ends.total())
            table.add_row(kind, *map(str, totals), *(str(ends[outcome]) for outcome in names[3:]))
        return table

    def reason_table(self) -> Table:
        """Return a table that shows why events became dead letters."""
        title = "Why events became dead letters"
        table = Table("reason", "dead letters", title=title, title_justify="left", box=SIMPLE)
        for code, count in Counter(code for _, code in self.records.dead_letters).most_common():
            table.add_row(code, str(count))
        return table


def read_accounts(ledger_file: Path, database_url: str, amqp_url: str) -> Accounts:
    """Read and compare the ledger, the tables and the dead-letter queue; all other queues must be empty."""
    ledger = read_ledger(ledger_file)
    with broker_session((amqp_url,), client_name="demonstration") as broker:
        queued = [sha256(body).hexdigest() for body in peek(broker, topology.DEAD_LETTERS)]
    with create_engine(database_url, poolclass=NullPool).connect() as connection:
        records = read_records(connection, {row.body_sha256 for row in ledger}, queued)
    return Accounts(ledger, records, settle(ledger, records))


def find_disagreements(accounts: Accounts, counts: Mapping[str, int]) -> list[str]:
    """Describe each disagreement; *counts* contains the numbers of deliveries and of reconciled events."""
    verdict, unanswered = accounts.verdict, sum(not row.answered for row in accounts.ledger)
    recorded = Counter(digest for digest, _ in accounts.records.dead_letters)
    queued = Counter(accounts.records.queued)
    planned, delivered = counts["planned"], counts["delivered"]
    withheld, missing, recovered = counts["withheld"], counts["missing"], counts["recovered"]
    found = {
        f"{unanswered} bodies were never answered 200": unanswered,
        f"{verdict.lost} lost": verdict.lost,
        f"{verdict.repeated} repeated": verdict.repeated,
        "some recorded dead letters are not in the queue": (recorded - queued).total(),
        "some dead letters in the queue are not recorded": (queued - recorded).total(),
        f"{planned} deliveries planned, {delivered} received": planned != delivered,
        f"{counts['repeated']} received twice": counts["repeated"],
        f"{counts['disordered']} received out of order": counts["disordered"],
        f"{counts['forged']} received without a valid signature": counts["forged"],
        f"{withheld} events withheld, {missing} found missing": withheld != missing,
        f"{withheld} events withheld, {recovered} recovered": withheld != recovered,
        f"{counts['false']} events wrongly found missing": counts["false"],
    }
    return [text for text, is_wrong in found.items() if is_wrong]
