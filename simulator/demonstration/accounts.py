"""What became of the events that a demonstration sent, by witnesses that must agree.

The sender's ledger says what was answered, the tables what was processed, and the dead-letter queue
what was put aside; every body that was answered must be readable again, byte for byte, in one of them.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from rich.table import Table
from sqlalchemy import create_engine

from messaging import topology
from messaging.admin import broker_session, peek
from simulator.ledger import (
    DeadLetterRow,
    LedgerRow,
    LedgerVerdict,
    Records,
    read_ledger,
    read_records,
    settle,
)


@dataclass(frozen=True, slots=True)
class Accounts:
    """The witnesses' words.

    Args:
        ledger: one row per distinct body that was sent.
        records: what the tables hold of them.
        letters: the digest of each message in the dead-letter queue, hexadecimal.
        verdict: all of it settled.
    """

    ledger: Sequence[LedgerRow]
    records: Records
    letters: Sequence[str]
    verdict: LedgerVerdict

    def disagreements(self) -> list[str]:
        """Say in words where the witnesses differ; empty when all is well."""
        unanswered = sum(not row.answered for row in self.ledger)
        recorded = Counter(row.body_sha256 for row in self.records.dead_letters)
        queued = Counter(self.letters)
        found = {
            f"{unanswered} bodies were never answered 200": unanswered,
            f"{self.verdict.lost} lost": self.verdict.lost,
            f"{self.verdict.repeated} repeated": self.verdict.repeated,
            "dead letters on record that are not in the queue": (recorded - queued).total(),
            "dead letters in the queue that are not on record": (queued - recorded).total(),
        }
        return [words for words, count in found.items() if count]


def read_accounts(ledger_file: Path, database_url: str, amqp_url: str) -> Accounts:
    """Hear the witnesses; the queues must be drained."""
    ledger = read_ledger(ledger_file)
    with broker_session((amqp_url,), client_name="demonstration") as broker:
        letters = [sha256(body).hexdigest() for body in peek(broker, topology.DEAD_LETTERS)]
    engine = create_engine(database_url)
    try:
        with engine.connect() as connection:
            records = read_records(connection, {row.body_sha256 for row in ledger})
    finally:
        engine.dispose()
    return Accounts(ledger, records, letters, settle(ledger, records, letters=letters))


def table_of(accounts: Accounts) -> Table:
    """Show by kind of body what became of it."""
    outcome_of: dict[str, str] = {row.body_sha256: "dead" for row in accounts.records.dead_letters}
    outcome_of |= dict.fromkeys(accounts.records.conflicts, "conflict")
    outcome_of |= {row.body_sha256: row.outcome for row in accounts.records.processed}
    table = Table(title="What became of the events", title_justify="left")
    columns = ("kind", "requests", "bodies", "200", "processed", "skipped", "dead", "conflict")
    for column in columns:
        table.add_column(column, justify="left" if column == "kind" else "right")
    for kind in sorted({_kind_of(row) for row in accounts.ledger}):
        rows = [row for row in accounts.ledger if _kind_of(row) == kind]
        ends = Counter(outcome_of.get(row.body_sha256, "nothing") for row in rows if row.answered)
        totals = (sum(row.attempts for row in rows), len(rows), ends.total())
        table.add_row(kind, *map(str, totals), *(str(ends[outcome]) for outcome in columns[4:]))
    return table


def reasons_of(dead_letters: Iterable[DeadLetterRow]) -> Table:
    """Show why events were put aside."""
    table = Table("reason", "dead letters", title="Why they are dead letters", title_justify="left")
    for code, count in Counter(row.reason_code for row in dead_letters).most_common():
        table.add_row(code, str(count))
    return table


def _kind_of(row: LedgerRow) -> str:
    """Return what a person calls it: the ways to spoil a body are told by the reasons' own table."""
    return "malformed" if row.event is None else row.kind
