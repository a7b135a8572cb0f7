"""Write the ledger while the simulation runs, so that a killed simulation leaves a usable one."""

from __future__ import annotations

import time
from hashlib import sha256
from typing import TYPE_CHECKING

from simulator.ledger.rows import LedgerRow

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

    from simulator.traffic import Post

FLUSH_SECONDS = 1.0


class Ledger:
    """The rows so far, and the file that follows them.

    While it runs, each change of a row appends a line, so that the newest line of a body counts; `close`
    leaves one line for each body. Its owner guards it.
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

    def note(self, post: Post, *, status: int | None, attempts: int) -> None:
        """Record that *post* was given up or answered with *status* after *attempts* requests."""
        row = LedgerRow(sha256(post.body).hexdigest(), post.event, post.kind, status, attempts, status == 200)
        known = self.rows.get(row.body_sha256)
        row = known.and_then(row) if known else row
        self.rows[row.body_sha256] = row
        if self._file:
            self._file.write(row.to_line())
            self._flush_when_due()

    def close(self) -> None:
        """Leave one line per body in the file, which is either the old or the new one at any moment."""
        if not self._file or not self._path:
            return
        self._file.close()
        self._file = None
        compacted = self._path.with_name(f"{self._path.name}.new")
        with compacted.open("w", encoding="utf-8") as lines:
            lines.writelines(row.to_line() for row in self.rows.values())
        compacted.replace(self._path)

    def _flush_when_due(self) -> None:
        now = time.monotonic()
        if self._file and now - self._flushed >= FLUSH_SECONDS:
            self._file.flush()
            self._flushed = now
