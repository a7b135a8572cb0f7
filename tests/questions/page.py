"""Parse the questions and queries in docs/database.md, so that exactly those queries can be run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

PAGE: Final = Path(__file__).parents[2] / "docs/database.md"
POSTGRESQL_ONLY: Final = "PostgreSQL:"
DAY: Final = timedelta(days=1)
READS_ALL: Final = "reads all"
"""The words that mark a question for which no index helps, because its query reads a whole table."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question on the page, with its query.

    Args:
        title: The question's number and text.
        sql: The query, with parameters such as `:since`.
    """

    title: str
    sql: str

    @property
    def is_portable(self) -> bool:
        """Whether the query also runs on SQLite."""
        return POSTGRESQL_ONLY not in self.title

    @property
    def reads_all(self) -> bool:
        """Whether the query reads a large table completely."""
        return READS_ALL in self.title

    def ask(self, connection: Connection, parameters: dict[str, str]) -> Sequence[Any]:
        """Run the query, and return its rows."""
        return connection.execute(text(self.sql), self._own(parameters)).all()

    def scanned(self, connection: Connection, parameters: dict[str, str]) -> set[str]:
        """Return the tables that PostgreSQL's plan reads completely."""
        explain = text(f"EXPLAIN (FORMAT JSON) {self.sql}")
        [document] = connection.execute(explain, self._own(parameters)).scalar_one()
        return set(_scans(document["Plan"]))

    def _own(self, parameters: dict[str, str]) -> dict[str, str]:
        return {name: value for name, value in parameters.items() if re.search(rf":{name}\b", self.sql)}


def _scans(node: dict[str, Any]) -> Sequence[str]:
    here = [node["Relation Name"]] if node["Node Type"] == "Seq Scan" else []
    return [*here, *(table for child in node.get("Plans", ()) for table in _scans(child))]


def questions(page: str) -> list[Question]:
    """Return the questions on a page. Empty lines separate the queries, and each has its title above it."""
    section = page.partition("## Questions\n")[2].partition("\n## ")[0]
    queries = "\n\n".join(re.findall(r"```sql\n(.*?)```", section, re.DOTALL)).split("\n\n")
    found = (re.fullmatch(r"-- (\d.*?)\n([^-].*?);", query.strip(), re.DOTALL) for query in queries)
    return [Question(match[1], match[2]) for match in found if match]


def parameters_of(connection: Connection) -> dict[str, str]:
    """Return all parameters: four ids, the start of the last day, and the end of the first day."""
    newest = connection.execute(
        text("SELECT * FROM events_v1 WHERE id = (SELECT max(id) FROM processed_events)")
    ).one()
    oldest = connection.execute(
        text("SELECT processed_at FROM events_v1 WHERE id = (SELECT min(id) FROM processed_events)")
    ).scalar_one()
    message = connection.execute(
        text("SELECT platform_message_id FROM messages_v1 ORDER BY event_id DESC LIMIT 1")
    ).scalar_one()
    return {
        "conversation": newest.conversation_id,
        "request": newest.message_id,
        "digest": newest.body_sha256,
        "message": message or "",
        "since": _moment(newest.processed_at, -DAY),
        "before": _moment(oldest, DAY),
    }


def _moment(moment: datetime | str, later: timedelta) -> str:
    """Format a moment for both databases; SQLite returns times as text."""
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    return (moment + later).strftime("%Y-%m-%d %H:%M:%S.%f")
