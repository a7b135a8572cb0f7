"""Keep a sender's own account of what was answered; settle it with the tables that the workers fill."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """What became of one distinct body.

    Args:
        body_sha256: Hexadecimal.
        event: The number of the event that the body tells; None where it is malformed.
        kind: A short word for tables.
        status: The last HTTP status, None where there was no answer.
        attempts: Requests made with this body, redeliveries included.
        answered: Whether any of them was answered 200.
    """

    body_sha256: str
    event: int | None
    kind: str
    status: int | None
    attempts: int
    answered: bool

    def and_then(self, later: LedgerRow) -> LedgerRow:
        """Return the row after *later*, which tells only what happened to the same body since."""
        return replace(
            later, attempts=self.attempts + later.attempts, answered=self.answered or later.answered
        )

    def to_line(self) -> str:
        """Return the row as one line of JSON."""
        return json.dumps(asdict(self)) + "\n"


def read_ledger(path: Path) -> list[LedgerRow]:
    """Return the rows of the file *path*; where a body has several lines, the last is its newest state."""
    rows: dict[str, LedgerRow] = {}
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            row = LedgerRow(**json.loads(line))
            rows[row.body_sha256] = row
    return list(rows.values())


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
        lost: Answered subjects that are found nowhere.
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
