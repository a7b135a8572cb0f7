"""Look at the database and its revision."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, inspect, select
from sqlalchemy.engine import make_url

from messaging.clock import SystemClock
from messaging.errors import ConfigurationError
from migrations import schema
from omctl.check.finding import Finding, Level
from omctl.database import DatabaseAwayError, database_url, in_words
from omctl.revisions import is_newer
from workers.db.engine import DatabaseClock, make_engine
from workers.db.models import dead_letters, destinations, drift, metadata
from workers.db.stats import CLOCK_AHEAD, worker_reports_now

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from messaging.environment import Environment
    from workers.db.stats import WorkerReport

AREA: Final = "database"

MAX_CLOCK_DIFFERENCE: Final = 2.0
"""Seconds. Events carry their host's time, so latencies and searches show a wrong clock."""


def check_database(environment: Environment) -> list[Finding]:
    """Return what is found; blocks for some seconds where no database answers."""
    try:
        url = database_url(environment)
        if is_missing_file(url):
            return [Finding(AREA, "file", Level.PROBLEM, "does not exist", "Run omctl migrate.")]
        with in_words():
            revision = revision_finding(schema.current_revision(url), schema.head_revision())
            contents = [] if revision.level is Level.PROBLEM else _contents(url)
    except schema.MissingMigrationsError as error:
        return [Finding(AREA, "migrations", Level.PROBLEM, "are not installed", str(error))]
    except (ConfigurationError, DatabaseAwayError) as error:
        return [Finding(AREA, "connection", Level.PROBLEM, "does not work", str(error))]
    return [Finding(AREA, "connection", Level.OK, "the database answers"), revision, *contents]


def is_missing_file(url: str) -> bool:
    """Tell whether *url* is an SQLite file that is not there: connecting would create it."""
    scheme, separator, _ = url.partition(":")
    if not separator or not scheme.startswith("sqlite"):
        return False
    path = make_url(url).database
    return bool(path) and path != ":memory:" and not Path(str(path)).exists()


def revision_finding(current: str | None, head: str) -> Finding:
    """Judge the revision that the database is at."""
    if current == head:
        return Finding(AREA, "revision", Level.OK, f"{current}, the newest")
    if is_newer(current):
        text = f"{current}, newer than {head}, which this version has"
        return Finding(AREA, "revision", Level.NOTE, text)
    text = f"{current or 'none'}, and this version needs {head}"
    return Finding(AREA, "revision", Level.PROBLEM, text, "Run omctl migrate.")


def tables_finding(missing: list[str]) -> Finding:
    """Judge the tables that a database lacks though its revision says that it has them."""
    if not missing:
        return Finding(AREA, "tables", Level.OK, "all are there")
    advice = "The revision has them, so somebody dropped them: restore them from a backup."
    return Finding(AREA, "tables", Level.PROBLEM, f"missing: {', '.join(missing)}", advice)


def _contents(url: str) -> list[Finding]:
    """Look at the tables, and count what is in them where all are there."""
    engine = make_engine(url)
    try:
        here = (SystemClock().now_us() - DatabaseClock(engine).now_us()) / 1_000_000
        with engine.connect() as connection:
            missing = sorted(set(metadata.tables) - set(inspect(connection).get_table_names()))
            found = [] if missing else [*_clocks(connection, here), *_files(connection), *_counts(connection)]
            return [tables_finding(missing), *found]
    finally:
        engine.dispose()


def _clocks(connection: Connection, here: float) -> list[Finding]:
    """Compare the clocks of this host, and of the hosts whose workers report, with the database's."""
    found = {
        report.worker.partition(" ")[0]: report.figures.get(CLOCK_AHEAD)
        for report in worker_reports_now(connection)
    }
    hosts = {host: float(ahead) for host, ahead in found.items() if isinstance(ahead, float)}
    return [clock_finding(host, ahead) for host, ahead in sorted((hosts | {"this host": here}).items())]


def clock_finding(host: str, ahead: float) -> Finding:
    """Judge a clock by the seconds that it is ahead of the database's."""
    is_right = abs(ahead) <= MAX_CLOCK_DIFFERENCE
    side = "ahead of" if ahead > 0 else "behind"
    return Finding(
        AREA,
        f"clock of {host}",
        Level.OK if is_right else Level.PROBLEM,
        f"{abs(ahead):.1f} s {side} the database's",
        "" if is_right else "Have both hosts set their clocks by NTP: timedatectl shows whether they do.",
    )


def _counts(connection: Connection) -> list[Finding]:
    """Tell how much there is that a person should look at."""
    letters = connection.scalar(select(func.count()).select_from(dead_letters)) or 0
    unknown = connection.scalar(select(func.count()).where(drift.c.accepted_at.is_(None))) or 0
    return [
        Finding(AREA, "dead_letters", Level.NOTE if letters else Level.OK, f"{letters} recorded"),
        Finding(AREA, "drift", Level.NOTE if unknown else Level.OK, f"{unknown} unknown names noted"),
        *paused_findings(connection.execute(select(destinations).order_by(destinations.c.name))),
    ]


def _files(connection: Connection) -> list[Finding]:
    # The newest report is the present, as far as silence is concerned: no clock but the workers' own.
    reports = worker_reports_now(connection)
    return file_findings(reports, max((report.reported_at for report in reports), default=datetime.now(UTC)))


def file_findings(reports: Iterable[WorkerReport], now: datetime) -> list[Finding]:
    """Return a problem if deliver workers run with different destinations files."""
    workers: dict[object, list[str]] = {}
    for report in reports:
        if report.role == "deliver" and not report.is_silent(now):
            workers.setdefault(report.figures.get("destinations_digest"), []).append(report.worker)
    if len(workers) < 2:
        return []
    text = "the deliver workers run with different files: " + " / ".join(
        ", ".join(names) for names in workers.values()
    )
    advice = "Copy the newest OM_DESTINATIONS file to each host, and restart its om-deliver@N."
    return [Finding(AREA, "destinations", Level.PROBLEM, text, advice)]


def paused_findings(rows: Iterable[Any]) -> list[Finding]:
    """Tell each destination that is given nothing."""
    return [
        Finding(
            AREA,
            f"destination {row.name}",
            Level.WARNING,
            f"paused since {row.paused_at:%Y-%m-%d %H:%M} ({row.paused_because}): what comes for it waits",
            f"omctl destinations resume {row.name}",
        )
        for row in rows
        if row.paused_at is not None
    ]
