"""Record the answers to each body that is sent. The file stays usable if the run is killed."""

import json
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Self

from simulator.traffic import Post


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """The requests with one distinct body, and their result."""

    body_sha256: str
    event: int | None  # number of the body's event; None if malformed
    kind: str
    status: int | None  # of the last answer; None if there was no answer
    attempts: int  # requests, including redeliveries
    answered: bool  # whether any request got a 200


def read_ledger(path: Path) -> list[LedgerRow]:
    """Return one row for each body in a ledger file: the one on the body's last line, which is the newest."""
    with path.open(encoding="utf-8") as lines:
        rows = [LedgerRow(**json.loads(line)) for line in lines]
    return list({row.body_sha256: row for row in rows}.values())


class Ledger:
    """A ledger's rows and its file. Each change to a row appends a line to the file. Not thread-safe."""

    def __init__(self, path: Path | None) -> None:
        self._file = path.open("w", encoding="utf-8", buffering=1) if path else None
        self.rows: dict[str, LedgerRow] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()

    def add(self, post: Post, *, status: int | None, attempts: int) -> None:
        """Record *attempts* requests with a post, and the status of the last answer (None: no answer)."""
        row = LedgerRow(sha256(post.body).hexdigest(), post.event, post.kind, status, attempts, status == 200)
        if known := self.rows.get(row.body_sha256):
            attempts, answered = known.attempts + row.attempts, known.answered or row.answered
            row = replace(row, attempts=attempts, answered=answered)
        self.rows[row.body_sha256] = row
        if self._file:
            self._file.write(json.dumps(asdict(row)) + "\n")
