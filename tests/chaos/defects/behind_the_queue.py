"""Define defects in intake, the worker that consumes the events queue."""

from __future__ import annotations

from typing import Final

from tests.chaos.sabotage import LOST, REPEATED, Defect

EVERY_COPY_NEW: Final = """
import secrets
_guide_key = guide_key
def guide_key(*parts):
    return _guide_key(*parts) + secrets.token_hex(8)
"""

DEFECTS: Final = (
    Defect(
        "every copy is new",
        4,
        "all connections are closed",
        "workers/parsing/idempotency.py",
        EVERY_COPY_NEW,
        REPEATED,
    ),
    Defect(
        "acknowledged before the commit",
        10,
        "a worker is killed before it acknowledges",
        "workers/intake/intake.py",
        """
import threading
_process = Intake.process
def _later(self, batch):
    threading.Timer(3.0, _process, (self, batch)).start()
    return Settlement()
Intake.process = _later
""",
        LOST,
    ),
    Defect(
        "an outage is the event's fault",
        11,
        "the disk is full",
        "workers/db/engine/errors.py",
        """
def translate(error):
    return RejectedEventError("refused_by_database", f"database: refuses the row, {error_code(error)}")
""",
        "dead letters",
    ),
    Defect(
        "suspects are not marked",
        12,
        "an event kills its worker",
        "workers/db/ingest/suspect_marks.py",
        "Suspects.mark = lambda *_: 0\n",
        "recorded as poison",
    ),
    Defect(
        "rows in the order of arrival",
        16,
        "the same events come in reverse",
        "workers/db/ingest/claims.py",
        "def sorted(items, **_):\n    return list(items)\n",
        "deadlock",
    ),
    Defect(
        "an event is never given up",
        26,
        "a handler raises",
        "workers/intake/failure.py",
        "def choose_delay(*_):\n    return 600.0\n",
        "recorded as handler_failed",
    ),
    Defect(
        "a slow statement is the event's fault",
        27,
        "every claim takes a minute",
        "workers/db/engine/transactions.py",
        """
from messaging.errors import RejectedEventError
from workers.db.engine.errors import QUERY_CANCELED
WORKER_SESSION["statement_timeout"] = "2s"
_translated = translate
def translate(error):
    if sqlstate(error) == QUERY_CANCELED:
        return RejectedEventError("refused_by_database", "database: refuses the row")
    return _translated(error)
""",
        "dead letters",
        lasts=(25.0, 30.0),
    ),
    Defect(
        "only the first host of the database is known",
        28,
        "it fails over to its standby",
        "workers/db/engine/transactions.py",
        """
_parse_all = _parse
def _parse(url):
    parsed = _parse_all(url)
    hosts = parsed.query.get("host")
    return parsed.set(query={"host": hosts[0]}) if isinstance(hosts, tuple) else parsed
""",
        "events are committed there",
        stand="standby",
    ),
    Defect(
        "every copy is new, whatever strikes",
        30,
        "two at once",
        "workers/parsing/idempotency.py",
        EVERY_COPY_NEW,
        REPEATED,
    ),
)
