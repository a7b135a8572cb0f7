"""The sender's own record of what was answered; a killed run leaves a usable file."""

import json
import time
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Final, Self

from simulator.traffic import Post

FLUSH_SECONDS: Final = 1.0


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

    def merge(self, later: "LedgerRow") -> "LedgerRow":
        """Add the requests made with the same body since this row."""
        return replace(
            later, attempts=self.attempts + later.attempts, answered=self.answered or later.answered
        )

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
    """The rows so far and their file; not thread-safe.

    Each change appends a line to the file. `close` leaves one line for each body.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file = path.open("w", encoding="utf-8") if path else None
        self._flushed = time.monotonic()
        self.rows: dict[str, LedgerRow] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, post: Post, *, status: int | None, attempts: int) -> None:
        """Record a post's last answer, or None if it got none, after *attempts* requests."""
        row = LedgerRow(sha256(post.body).hexdigest(), post.event, post.kind, status, attempts, status == 200)
        known = self.rows.get(row.body_sha256)
        row = known.merge(row) if known else row
        self.rows[row.body_sha256] = row
        if not self._file:
            return
        self._file.write(row.to_line())
        if time.monotonic() - self._flushed >= FLUSH_SECONDS:
            self._file.flush()
            self._flushed = time.monotonic()

    def close(self) -> None:
        """Compact the file; a crash leaves either the old file or the new one."""
        if not self._file or not self._path:
            return
        self._file.close()
        self._file = None
        compacted = self._path.with_name(f"{self._path.name}.new")
        with compacted.open("w", encoding="utf-8") as lines:
            lines.writelines(row.to_line() for row in self.rows.values())
        compacted.replace(self._path)
