"""The sender's own record of what was answered; a killed run leaves a usable file."""

import json
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Self

from simulator.traffic import Post


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """What happened to one distinct body.

    Args:
        body_sha256: Hexadecimal.
        event: The number of the event in the body; None if the body is malformed.
        kind: A short word for tables.
        status: The last HTTP status; None if there was no answer.
        attempts: Requests made with this body, redeliveries included.
        answered: Whether any of them was answered 200.
    """

    body_sha256: str
    event: int | None
    kind: str
    status: int | None
    attempts: int
    answered: bool

    def to_line(self) -> str:
        """Return the row as one line of JSON."""
        return json.dumps(asdict(self)) + "\n"


def read_ledger(path: Path) -> list[LedgerRow]:
    """Return the rows of a ledger file; the last line of a body is its newest state."""
    rows: dict[str, LedgerRow] = {}
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            row = LedgerRow(**json.loads(line))
            rows[row.body_sha256] = row
    return list(rows.values())


class Ledger:
    """The rows so far and their file, to which each change appends a line; not thread-safe."""

    def __init__(self, path: Path | None) -> None:
        self._file = path.open("w", encoding="utf-8", buffering=1) if path else None
        self.rows: dict[str, LedgerRow] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()

    def add(self, post: Post, *, status: int | None, attempts: int) -> None:
        """Record a post's last answer, or None if it got none, after *attempts* requests."""
        row = LedgerRow(sha256(post.body).hexdigest(), post.event, post.kind, status, attempts, status == 200)
        if known := self.rows.get(row.body_sha256):
            attempts, answered = known.attempts + row.attempts, known.answered or row.answered
            row = replace(row, attempts=attempts, answered=answered)
        self.rows[row.body_sha256] = row
        if self._file:
            self._file.write(row.to_line())
