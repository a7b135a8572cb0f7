"""Settle a sender's own account of what was answered with the tables that the workers fill."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from simulator.ledger.rows import LedgerRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True, slots=True)
class ProcessedRow:
    """A row of processed_events: its digest in hexadecimal, its conversation, its outcome and type."""

    body_sha256: str
    conversation_id: str
    outcome: str
    event_type: str


@dataclass(frozen=True, slots=True)
class DeadLetterRow:
    """A row of dead_letters: its digest in hexadecimal and the code of its reason."""

    body_sha256: str
    reason_code: str


@dataclass(frozen=True, slots=True)
class Effect:
    """A count that the workers keep, beside what processed_events says it should be.

    Args:
        name: What is counted where, e.g. "message_count of <conversation id>".
        expected: Distinct processed events that have this effect.
        actual: The count found.
    """

    name: str
    expected: int
    actual: int


@dataclass(frozen=True, slots=True)
class LedgerVerdict:
    """What a ledger and the tables say together.

    A *subject* is a distinct event, or a distinct malformed body.

    Args:
        sent: Requests made.
        answered: Distinct bodies that were answered 200.
        unique: Subjects of which at least one body was answered 200.
        processed: Subjects with a row in processed_events that had an effect.
        skipped: Subjects with a row that says they had none.
        dead_lettered: Subjects with a dead letter and no such row.
        lost: Answered subjects that are found nowhere, and effects that are missing.
        repeated: Effects beyond one per event.
    """

    sent: int
    answered: int
    unique: int
    processed: int
    skipped: int
    dead_lettered: int
    lost: int
    repeated: int

    @property
    def is_clean(self) -> bool:
        """Nothing is lost, nothing took effect twice."""
        return not self.lost and not self.repeated

    def __str__(self) -> str:
        return " ".join(f"{name}={value}" for name, value in asdict(self).items())


def reconcile_ledger(
    ledger: Iterable[LedgerRow],
    processed: Iterable[ProcessedRow],
    dead_letters: Iterable[DeadLetterRow],
    effects: Iterable[Effect] = (),
) -> LedgerVerdict:
    """Say what became of everything that was sent; call it when the queues are drained and the journal empty.

    Rows of other senders are left out of account: only digests of the ledger are looked for.
    """
    rows = list(ledger)
    subjects = _subjects(rows)
    outcomes = defaultdict[str, list[str]](list)
    for row in processed:
        outcomes[row.body_sha256].append(row.outcome)
    dead = {row.body_sha256 for row in dead_letters}
    found = [[outcome for body in bodies for outcome in outcomes[body.body_sha256]] for bodies in subjects]
    answered = [any(body.answered for body in bodies) for bodies in subjects]
    buried = [any(body.body_sha256 in dead for body in bodies) for bodies in subjects]
    facts = list(zip(answered, found, buried, strict=True))
    effects = list(effects)
    return LedgerVerdict(
        sent=sum(row.attempts for row in rows),
        answered=sum(row.answered for row in rows),
        unique=sum(answered),
        processed=sum("processed" in outcome for outcome in found),
        skipped=sum(bool(outcome) and "processed" not in outcome for outcome in found),
        dead_lettered=sum(is_dead and not outcome for _, outcome, is_dead in facts),
        lost=sum(is_answered and not outcome and not is_dead for is_answered, outcome, is_dead in facts)
        + sum(max(0, effect.expected - effect.actual) for effect in effects),
        repeated=sum(max(0, len(outcome) - 1) for outcome in found)
        + sum(max(0, effect.actual - effect.expected) for effect in effects),
    )


def _subjects(rows: Sequence[LedgerRow]) -> list[list[LedgerRow]]:
    """Group the bodies by what they tell: an event, or nothing but themselves."""
    subjects = defaultdict[int | str, list[LedgerRow]](list)
    for row in rows:
        subjects[row.body_sha256 if row.event is None else row.event].append(row)
    return list(subjects.values())
