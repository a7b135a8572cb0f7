"""Compare the sender's ledger, the tables and the dead-letter queue: they must agree on every event.

Every body that was answered 200 must be readable again, byte for byte, from the tables or the queue.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from rich.box import SIMPLE
from rich.table import Table
from sqlalchemy import NullPool, create_engine

from messaging import topology
from messaging.admin import broker_session, peek
from simulator.ledger import LedgerRow, read_ledger
from simulator.settlement import LedgerVerdict, Records, read_records, settle


@dataclass(frozen=True, slots=True)
class ReconciliationResult:
    """What `omctl reconcile` found: counts of events.

    `missing` were reported as missing, `false` of them were not withheld. `recovered` of the `withheld` ones
    were recovered.
    """

    missing: int
    recovered: int
    false: int
    withheld: int

    def __str__(self) -> str:
        return f"missing={self.missing} recovered={self.recovered} false={self.false}"


@dataclass(frozen=True, slots=True)
class Accounts:
    """The ledger, the tables, the digests of the queued dead letters, and their comparison."""

    ledger: Sequence[LedgerRow]
    records: Records
    queued: Sequence[str]
    verdict: LedgerVerdict

    def conclusion(self, reconciled: ReconciliationResult) -> str:
        """Return the result in sentences for a reader who sees the service for the first time."""
        verdict = self.verdict
        return (
            f"{verdict.unique} distinct events were answered 200, and each was processed once: "
            f"{verdict.processed} took effect, {verdict.skipped} were recorded as skipped, and "
            f"{verdict.dead_lettered} malformed ones became dead letters with a reason.\n"
            "Skipped events need no action: an agent was typing, or an update changed no routing state.\n"
            f"{reconciled.withheld} more events were never sent. Reconciliation found {reconciled.missing} "
            f"events in the platform's history that the service had not received, and recovered "
            f"{reconciled.recovered} of the {reconciled.withheld}.\n"
            f"{verdict.lost} events were lost, and {verdict.repeated} took effect twice."
        )

    def outcome_table(self) -> Table:
        """Show what happened to each kind of body."""
        outcomes = {digest: "dead" for digest, _ in self.records.dead_letters}
        outcomes |= dict.fromkeys(self.records.conflicts, "conflict")
        outcomes |= {digest: found[-1] for digest, found in self.records.outcomes.items()}
        columns = ("kind", "requests", "bodies", "200", "processed", "skipped", "dead", "conflict")
        table = Table(title="What happened to the events", title_justify="left", box=SIMPLE)
        for column in columns:
            table.add_column(column, justify="left" if column == "kind" else "right")
        for kind in sorted({_kind(row) for row in self.ledger}):
            rows = [row for row in self.ledger if _kind(row) == kind]
            ends = Counter(outcomes.get(row.body_sha256, "nothing") for row in rows if row.answered)
            totals = (sum(row.attempts for row in rows), len(rows), ends.total())
            table.add_row(kind, *map(str, totals), *(str(ends[outcome]) for outcome in columns[4:]))
        return table

    def reason_table(self) -> Table:
        """Show why events became dead letters."""
        title = "Why they are dead letters"
        table = Table("reason", "dead letters", title=title, title_justify="left", box=SIMPLE)
        for code, count in Counter(code for _, code in self.records.dead_letters).most_common():
            table.add_row(code, str(count))
        return table


def read_accounts(ledger_file: Path, database_url: str, amqp_url: str) -> Accounts:
    """Read and compare the three sources; the queues must be drained."""
    ledger = read_ledger(ledger_file)
    with broker_session((amqp_url,), client_name="demonstration") as broker:
        queued = [sha256(body).hexdigest() for body in peek(broker, topology.DEAD_LETTERS)]
    with create_engine(database_url, poolclass=NullPool).connect() as connection:
        records = read_records(connection, {row.body_sha256 for row in ledger})
    return Accounts(ledger, records, queued, settle(ledger, records, queued=queued))


def find_disagreements(
    accounts: Accounts, counts: Mapping[str, int], reconciled: ReconciliationResult
) -> list[str]:
    """Return how the sources differ; empty if they agree. *counts* are of the deliveries, by name."""
    verdict, unanswered = accounts.verdict, sum(not row.answered for row in accounts.ledger)
    recorded = Counter(digest for digest, _ in accounts.records.dead_letters)
    queued = Counter(accounts.queued)
    planned, delivered = counts["planned"], counts["delivered"]
    withheld, missing, recovered = reconciled.withheld, reconciled.missing, reconciled.recovered
    found = {
        f"{unanswered} bodies were never answered 200": unanswered,
        f"{verdict.lost} lost": verdict.lost,
        f"{verdict.repeated} repeated": verdict.repeated,
        "dead letters are recorded that are not in the queue": (recorded - queued).total(),
        "dead letters are in the queue that are not recorded": (queued - recorded).total(),
        f"{planned} deliveries planned, {delivered} received": planned != delivered,
        f"{counts['repeated']} received twice": counts["repeated"],
        f"{counts['disordered']} received out of order": counts["disordered"],
        f"{counts['forged']} received without a valid signature": counts["forged"],
        f"{withheld} events withheld, {missing} found missing": withheld != missing,
        f"{withheld} events withheld, {recovered} recovered": withheld != recovered,
        f"{reconciled.false} events found missing that were not": reconciled.false,
    }
    return [text for text, is_wrong in found.items() if is_wrong]


def _kind(row: LedgerRow) -> str:
    """Return the row's kind; the table of reasons shows the kinds of malformed bodies."""
    return "malformed" if row.event is None else row.kind
