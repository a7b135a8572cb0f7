"""Say what a sender's own account holds, and read it back."""

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
