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

    `event`: the number of the event in it; None if it is malformed. `status`: the last one; None if there was
    no answer. `attempts`: requests, redeliveries included. `answered`: whether any of them was answered 200.
    """

    body_sha256: str
    event: int | None
    kind: str
    status: int | None
    attempts: int
    answered: bool


def read_ledger(path: Path) -> list[LedgerRow]:
    """Return the rows of a ledger file; the last line of a body is its newest state."""
    with path.open(encoding="utf-8") as lines:
        rows = [LedgerRow(**json.loads(line)) for line in lines]
    return list({row.body_sha256: row for row in rows}.values())


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
            self._file.write(json.dumps(asdict(row)) + "\n")
