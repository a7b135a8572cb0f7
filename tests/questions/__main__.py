"""Time the questions in docs/database.md, and `omctl find`, on millions of rows.

`python -m tests.questions --events 20000000`
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
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
MOST_FIND_MS: Final = 1000
OMCTL: Final = Path(sys.executable).with_name("omctl")
"""The installed console script, which an operator's shell also runs."""

FOUND: Final = {
    "message id": "SELECT message_id FROM processed_events WHERE id = :id",
    "conversation": "SELECT conversation_id FROM processed_events WHERE id = :id",
    "idempotency key": "SELECT idempotency_key FROM processed_events WHERE id = :id",
    "request id": "SELECT request_id FROM processed_events WHERE id = :id",
    "event id": "SELECT CAST(CAST(:id AS bigint) AS text)",
    "SHA-256": "SELECT encode(body_sha256, 'hex') FROM processed_events WHERE id = :id",
    "platform's message id": "SELECT md5(CAST(:id AS text))",
    "dead letter": "SELECT message_id FROM dead_letters LIMIT 1",
}
"""Queries for ids that `omctl find` must find: the ids of an event from mid-month and of a dead letter."""

CUSTOMER: Final = "SELECT 'ext:customer:' || max(event_id) / 10 FROM event_payloads"
"""A query for a customer. The search for a customer reads every kept body, so no time limit applies to it."""

SEED: Final = "none"
"""The seed for the certificate: no figure depends on a random choice."""


@click.command()
@click.option("--events", type=int, default=5_000_000, help="Rows of processed_events.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Where to write the figures.")
def main(*, events: int, json_path: Path | None) -> None:
    """Fill a private server and time every question."""
    ensure_postgresql()
    with (
        # /tmp can be in memory, but a database belongs on a disk.
        tempfile.TemporaryDirectory(prefix="questions-", dir="/var/tmp") as directory,
        PrivatePostgreSQL(Path(directory) / "postgresql") as server,
    ):
        birth = certificate(seed=SEED, servers=postgresql_version(server.url()))
        url = server.create_database("questions")
        schema.upgrade(url)
        click.echo(f"filling in {events:,} events", err=True)
        fill(url, events)
        answers, found = _ask_all(url), _find_each(url, events)
    document = {"certificate": birth, "events": f"{events:,}", "questions": answers, "find": found}
    slowest, slowest_find = (max(each["ms"] for each in some) for some in (answers, found[:-1]))
    line = (
        f"questions: events={events} questions={len(answers)} slowest_ms={slowest:.0f} "
        f"find_ms={slowest_find:.0f} find_customer_ms={found[-1]['ms']:.0f}"
    )
    is_good = slowest_find <= MOST_FIND_MS
    if json_path:
        record("questions", line, passed=is_good, birth=birth)
        json_path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    for answer in answers + found:
        click.echo(
            f"{answer['ms']:10,.1f} ms {answer['rows']:8,} rows  {answer['reads']:32}  {answer['title']}"
        )
    click.echo(line)
    if not is_good:
        sys.exit(1)


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


def _find_each(url: str, events: int) -> list[dict[str, Any]]:
    """Time the whole command `omctl find`, including Python's start-up, for each kind of id.

    The last figure is for a customer.
    """
    engine = create_engine(url)
    # The second event of a conversation is a message.
    number = {"id": events // 20 * 10 + 2}
    with engine.connect() as connection:
        wanted = {
            kind: connection.scalar(text(sql), number if ":id" in sql else {}) for kind, sql in FOUND.items()
        }
        customer = connection.scalar(text(CUSTOMER))
        bodies = connection.scalar(text("SELECT count(*) FROM event_payloads"))
    engine.dispose()
    found = [_find(url, kind, "by index", identifier) for kind, identifier in wanted.items()]
    return [*found, _find(url, "customer", f"{bodies:,} bodies", "--customer", customer)]


def _find(url: str, kind: str, reads: str, *arguments: str) -> dict[str, Any]:
    seconds = []
    for _ in range(TIMES):
        began = time.perf_counter()
        answer = subprocess.run(
            [OMCTL, "find", *arguments, "--json"],
            env={**os.environ, "OM_DATABASE_URL": url},
            stdout=subprocess.PIPE,
            check=True,
        )
        seconds.append(time.perf_counter() - began)
    found = len(json.loads(answer.stdout)["events"])
    assert found, f"omctl find does not know the {kind} {arguments[-1]}"
    title = f"omctl find, {kind}"
    return {"title": title, "ms": statistics.median(seconds) * 1000, "rows": found, "reads": reads}


if __name__ == "__main__":
    main()
