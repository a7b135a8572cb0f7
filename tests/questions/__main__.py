"""Ask the questions of docs/database.md on millions of rows: `python -m tests.questions --events 5000000`."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from sqlalchemy import create_engine, text

from tests.figures import certificate, postgresql_version
from tests.figures.evidence import record
from tests.questions.filling import TABLES, fill
from tests.questions.page import PAGE, parameters_of, questions
from tests.servers import PrivatePostgreSQL, ensure_postgresql
from workers.db.migrations import schema

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from tests.questions.page import Question

TIMES: Final = 3
SEED: Final = "none"
"""No figure depends on a random choice."""


@click.command()
@click.option("--events", type=int, default=5_000_000, help="Rows of processed_events.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Where to write the figures.")
def main(*, events: int, json_path: Path | None) -> None:
    """Fill a private server and time every question."""
    ensure_postgresql()
    with (
        # Not /tmp, which may be in memory: a database belongs on a disk.
        tempfile.TemporaryDirectory(prefix="questions-", dir="/var/tmp") as directory,
        PrivatePostgreSQL(Path(directory) / "postgresql") as server,
    ):
        birth = certificate(seed=SEED, servers=postgresql_version(server.url()))
        url = server.create_database("questions")
        schema.upgrade(url)
        click.echo(f"filling in {events:,} events", err=True)
        fill(url, events)
        answers = _ask_all(url)
    document = {"certificate": birth, "events": f"{events:,}", "questions": answers}
    slowest = max(answer["ms"] for answer in answers)
    line = f"questions: events={events} questions={len(answers)} slowest_ms={slowest:.0f}"
    if json_path:
        record("questions", line, passed=True, birth=birth)
        json_path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    for answer in answers:
        click.echo(
            f"{answer['ms']:10,.1f} ms {answer['rows']:8,} rows  {answer['reads']:32}  {answer['title']}"
        )
    click.echo(line)


def _ask_all(url: str) -> list[dict[str, Any]]:
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            connection.execute(text("SET timezone = 'UTC'"))
            parameters = parameters_of(connection)
            return [_ask(connection, question, parameters) for question in questions(PAGE.read_text())]
    finally:
        engine.dispose()


def _ask(connection: Connection, question: Question, parameters: dict[str, str]) -> dict[str, Any]:
    seconds = []
    for _ in range(TIMES):
        began = time.perf_counter()
        rows = len(question.ask(connection, parameters))
        seconds.append(time.perf_counter() - began)
    scanned = question.scanned(connection, parameters) & set(TABLES)
    return {
        "title": question.title,
        "ms": statistics.median(seconds) * 1000,
        "rows": rows,
        "reads": f"all of {', '.join(sorted(scanned))}" if scanned else "by index",
    }


if __name__ == "__main__":
    main()
