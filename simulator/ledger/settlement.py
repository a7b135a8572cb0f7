"""Settle a sender's own account of what was answered with what the service has kept."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from simulator.ledger.rows import LedgerRow

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence


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
class Records:
    """What the tables hold of the bodies of a ledger.

    Args:
        conflicts: Digests in duplicate_events: the key of a known event, another content.
        kept: Digests of the bodies that are stored whole, computed from what is stored.
    """

    processed: Sequence[ProcessedRow] = ()
    dead_letters: Sequence[DeadLetterRow] = ()
    effects: Sequence[Effect] = ()
    conflicts: Collection[str] = frozenset()
    kept: Collection[str] = frozenset()


@dataclass(frozen=True, slots=True)
class LedgerVerdict:
    """What a ledger and the records say together.

    A *subject* is a distinct event, or a distinct malformed body.

    Args:
        sent: Requests made.
        answered: Distinct bodies that were answered 200.
        unique: Subjects of which at least one body was answered 200.
        processed: Subjects with a row in processed_events that had an effect.
        skipped: Subjects with a row that says they had none.
        dead_lettered: Subjects with a dead letter and no such row.
        conflicts: Answered bodies on record as another content of a known event.
        lost: Answered subjects that are found nowhere, answered bodies of others that nobody can read again,
            and effects that are missing.
        repeated: Effects beyond one per event.
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

    @property
    def is_clean(self) -> bool:
        """Nothing is lost, nothing took effect twice."""
        return not self.lost and not self.repeated

    def __str__(self) -> str:
        return " ".join(f"{name}={value}" for name, value in asdict(self).items())


@dataclass(frozen=True, slots=True)
class _Subject:
    """What became of one event: the outcomes of its rows, and whether one of its bodies is a dead letter."""

    bodies: Sequence[LedgerRow]
    outcomes: Sequence[str]
    is_dead: bool

    @property
    def is_answered(self) -> bool:
        return any(body.answered for body in self.bodies)

    def lost(self, readable: Collection[str]) -> int:
        """Count the event itself where it is found nowhere, else its bodies that nobody can read again."""
        if not self.outcomes and not self.is_dead:
            return int(self.is_answered)
        return sum(body.answered and body.body_sha256 not in readable for body in self.bodies)


def settle(ledger: Sequence[LedgerRow], records: Records, *, letters: Iterable[str]) -> LedgerVerdict:
    """Say what became of everything that was sent; call it when the queues are drained and the journal empty.

    Args:
        ledger: Rows of other senders are left out of account: only its own digests are looked for.
        records: What the tables hold.
        letters: Digests of the bodies in the dead-letter queue, hexadecimal.
    """
    subjects = _subjects(ledger, records)
    readable = {*records.kept, *letters}
    deviations = [effect.actual - effect.expected for effect in records.effects]
    return LedgerVerdict(
        sent=sum(row.attempts for row in ledger),
        answered=sum(row.answered for row in ledger),
        unique=sum(subject.is_answered for subject in subjects),
        processed=sum("processed" in subject.outcomes for subject in subjects),
        skipped=sum(bool(each.outcomes) and "processed" not in each.outcomes for each in subjects),
        dead_lettered=sum(subject.is_dead and not subject.outcomes for subject in subjects),
        conflicts=sum(row.answered and row.body_sha256 in records.conflicts for row in ledger),
        lost=sum(subject.lost(readable) for subject in subjects) + sum(max(0, -each) for each in deviations),
        repeated=sum(max(0, len(subject.outcomes) - 1) for subject in subjects)
        + sum(max(0, each) for each in deviations),
    )


def _subjects(ledger: Iterable[LedgerRow], records: Records) -> list[_Subject]:
    """Group the bodies by what they tell: an event, or nothing but themselves."""
    bodies = defaultdict[int | str, list[LedgerRow]](list)
    for row in ledger:
        bodies[row.body_sha256 if row.event is None else row.event].append(row)
    outcomes = defaultdict[str, list[str]](list)
    for processed in records.processed:
        outcomes[processed.body_sha256].append(processed.outcome)
    dead = {row.body_sha256 for row in records.dead_letters}
    return [
        _Subject(
            rows,
            [outcome for row in rows for outcome in outcomes[row.body_sha256]],
            any(row.body_sha256 in dead for row in rows),
        )
        for rows in bodies.values()
    ]
