"""Compare a sender's ledger with what the service has stored."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from simulator.ledger import LedgerRow


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
