"""Check the database: its revision, its tables, the hosts' clocks, and rows that need attention."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, false, func, inspect, select
from sqlalchemy.engine import make_url

from messaging.clock import SystemClock
from messaging.environment import Environment
from messaging.errors import ConfigurationError
from omctl.connections import DatabaseUnavailableError, database_url, open_database
from omctl.look.findings import Finding, Level, note, ok, problem, warning
from workers.db.engine import WORKER_SESSION, DatabaseClock
from workers.db.migrations import schema
from workers.db.models import dead_letters, destinations, drift, metadata
from workers.db.stats import CLOCK_AHEAD, WorkerReport, read_worker_reports
from workers.deliver import configured_destinations
from workers.parsing import moment_of

MAX_CLOCK_DIFFERENCE: Final = 2.0
"""The maximum difference in seconds. Events carry their host's time, so a wrong clock distorts latencies."""


def check_database() -> list[Finding]:
    """Return findings about the database; this can take several seconds if the database does not respond."""
    try:
        url = database_url(Environment())
        if _is_missing_file(url):
            return [problem("file", "does not exist", "Run omctl migrate.")]
        with open_database(WORKER_SESSION) as engine:
            revision = judge_revision(schema.current_revision(url), schema.head_revision())
            contents = [] if revision.level is Level.PROBLEM else list(_contents(engine))
    except schema.MissingMigrationsError as error:
        return [problem("migrations", "are not installed", str(error))]
    except (ConfigurationError, DatabaseUnavailableError) as error:
        return [problem("connection", "does not work", str(error))]
    return [ok("connection", "the database answers"), revision, *contents]


def _is_missing_file(url: str) -> bool:
    """Return whether *url* is an SQLite file that does not exist: connecting would create it."""
    path = make_url(url).database if url.startswith("sqlite") and ":" in url else None
    return bool(path) and path != ":memory:" and not Path(str(path)).exists()


def judge_revision(current: str | None, head: str) -> Finding:
    """Compare the tables' revision *current* with this version's newest revision *head*."""
    if current == head:
        return ok("revision", f"{current}, the newest")
    if schema.is_newer(current):
        return note("revision", f"{current}, newer than {head}, which this version has")
    return problem("revision", f"{current or 'none'}, and this version needs {head}", "Run omctl migrate.")


def judge_tables(missing: list[str]) -> Finding:
    """Judge the list of tables that should exist but are missing from the database."""
    if not missing:
        return ok("tables", "all exist")
    advice = "They were dropped: restore them from a backup."
    return problem("tables", f"missing: {', '.join(missing)}", advice)


def _contents(engine: Engine) -> Iterator[Finding]:
    clock = DatabaseClock(engine)
    clocks: dict[str, Any] = {"this host": (SystemClock().now_us() - clock.now_us()) / 1_000_000}
    with engine.connect() as connection:
        missing = sorted(set(metadata.tables) - set(inspect(connection).get_table_names()))
        yield judge_tables(missing)
        if missing:
            return
        # This statement changes no row, but it fails if the user in OM_DATABASE_URL may not write.
        connection.execute(destinations.update().where(false()).values(name=""))
        reports = read_worker_reports(connection)
        clocks |= {report.worker.partition(" ")[0]: report.figures.get(CLOCK_AHEAD) for report in reports}
        # Compare with the database's clock, which also sets the times in the workers' reports.
        now = moment_of(clock.now_us())
        hosts = sorted(clocks.items())
        yield from (judge_clock(host, ahead) for host, ahead in hosts if isinstance(ahead, float))
        yield from judge_workers(reports, now, list_expected(Environment()))
        yield from judge_files(reports, now)
        is_open = dead_letters.c.decided_at.is_(None)
        waiting = connection.scalar(select(func.count()).select_from(dead_letters).where(is_open)) or 0
        yield (note if waiting else ok)("dead letters", f"{waiting} open")
        unknown = connection.scalar(select(func.count()).where(drift.c.accepted_at.is_(None))) or 0
        yield (note if unknown else ok)("drift", f"{unknown} unknown names")
        yield from judge_paused(connection.execute(select(destinations).order_by(destinations.c.name)))


def judge_clock(host: str, ahead: float) -> Finding:
    """Judge the clock of *host*, which is *ahead* seconds ahead of the database's clock."""
    subject, side = f"clock of {host}", "ahead of" if ahead > 0 else "behind"
    text = f"{abs(ahead):.1f} s {side} the database's"
    if abs(ahead) <= MAX_CLOCK_DIFFERENCE:
        return ok(subject, text)
    return problem(subject, text, "Synchronise both clocks by NTP: timedatectl shows the state.")


def list_expected(environment: Environment) -> Iterator[str]:
    """Yield the roles that the settings require. Malformed settings get a finding of their own."""
    yield "settle"
    with suppress(ConfigurationError):
        if any(destination.enabled for destination in configured_destinations(environment)):
            yield "deliver"
    if environment.string("OM_GENESYS_REGION") or environment.string("OM_GENESYS_API_URL"):
        yield "reconcile"


def judge_workers(
    reports: Iterable[WorkerReport], now: datetime, expected: Iterable[str]
) -> Iterator[Finding]:
    """Judge each role by its workers' reports. It is a problem if all workers of a role stopped reporting."""
    roles: dict[str, list[WorkerReport]] = {role: [] for role in expected}
    for report in reports:
        roles.setdefault(report.role, []).append(report)
    for role, of_role in sorted(roles.items()):
        subject = f"{role} workers"
        silent = [report.worker for report in of_role if report.is_silent(now)]
        if not of_role:
            text = "no worker reports, so this role does no work"
            yield warning(subject, text, f"Start one with python -m workers {role}.")
        elif silent:
            judge = problem if len(silent) == len(of_role) else warning
            advice = "See systemctl status 'om-*' on its host, and start it."
            yield judge(subject, f"stopped reporting: {', '.join(silent)}", advice)
        else:
            yield ok(subject, f"{len(of_role)} report")


def judge_files(reports: Iterable[WorkerReport], now: datetime) -> Iterator[Finding]:
    """Yield a problem if deliver workers run with different destinations files."""
    workers: dict[object, list[str]] = {}
    for report in reports:
        if report.role == "deliver" and not report.is_silent(now):
            workers.setdefault(report.figures.get("destinations_digest"), []).append(report.worker)
    if len(workers) > 1:
        groups = " / ".join(", ".join(names) for names in workers.values())
        text = f"the deliver workers run with different OM_DESTINATIONS files: {groups}"
        advice = "Copy the newest OM_DESTINATIONS file to each host, and restart its om-deliver@N."
        yield problem("destinations", text, advice)


def judge_paused(rows: Iterable[Any]) -> Iterator[Finding]:
    """Yield a warning for each paused destination."""
    for row in rows:
        if row.paused_at is not None:
            since = f"paused since {row.paused_at:%Y-%m-%d %H:%M} ({row.paused_because}): its events wait"
            yield warning(f"destination {row.name}", since, f"omctl destinations resume {row.name}")
