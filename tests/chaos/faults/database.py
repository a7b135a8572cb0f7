"""Inject faults into PostgreSQL: crashes, outages, deadlocks, full disks, too few connections, failovers."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import psycopg

from tests.chaos.broker_view import DEAD_LETTERS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.chaos.scene import Scene
    from tests.chaos.stand import Stand

LOCK_TIMEOUT = b"canceling statement due to lock timeout"
"""The text that the server logs when a statement has waited for its session's lock_timeout."""

SLOW_SECONDS = 60
OTHERS = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
TERMINATE_STRANGERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE backend_type = 'client backend' AND application_name <> 'chaos'"
)
CANCEL_OTHERS = f"SELECT count(*) FILTER (WHERE pg_cancel_backend(pid)) {OTHERS} AND state = 'active'"
WAITING = f"SELECT count(*) {OTHERS} AND wait_event_type = 'Lock'"
SLEEPING = f"SELECT count(*) {OTHERS} AND wait_event = 'PgSleep'"
ROWS = "SELECT count(*) FROM processed_events"
DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
DAWDLE = f"""
    CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_sleep({SLOW_SECONDS}); RETURN NULL; END $$
"""
DAWDLING = (
    "CREATE TRIGGER dawdling AFTER INSERT ON processed_events FOR EACH STATEMENT EXECUTE FUNCTION dawdle()"
)
TIGHT_MEGABYTES = 160
"""The size of the small file system. Three minutes of rows at the highest measured rate take less space, so
only the strike fills it."""


@contextmanager
def on_a_tight_disk(stand: Stand) -> Iterator[None]:
    """Move the tables processed_events and suspects to a small file system for a `with` block."""
    disk = stand.directory / "tight"
    disk.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={TIGHT_MEGABYTES}m", "tmpfs", str(disk)], check=True)
    (disk / "data").mkdir()
    owner = (stand.directory / "postgresql" / "data").stat()
    os.chown(disk / "data", owner.st_uid, owner.st_gid)
    stand.execute(
        f"CREATE TABLESPACE tight LOCATION '{disk}/data'",
        "ALTER TABLE suspects SET TABLESPACE tight",
        "ALTER TABLE processed_events SET TABLESPACE tight",
    )
    try:
        yield
    finally:
        stand.execute(
            "ALTER TABLE processed_events SET TABLESPACE pg_default",
            "ALTER TABLE suspects SET TABLESPACE pg_default",
            "DROP TABLESPACE tight",
        )
        subprocess.run(["umount", "--lazy", str(disk)], check=False)


@contextmanager
def the_database_is_killed(scene: Scene) -> Iterator[None]:
    """Kill PostgreSQL as in a crash, and start it again later."""
    database = scene.stand.postgresql
    assert database is not None
    with _nothing_given_up(scene):
        before = database.pid
        database.kill_immediate()
        yield
        database.start()
        scene.prove(f"server {before} has become {database.pid}", has_struck=database.pid != before)


@contextmanager
def the_database_is_away(scene: Scene) -> Iterator[None]:
    """Stop PostgreSQL, and start it again later."""
    database = scene.stand.postgresql
    assert database is not None
    with _nothing_given_up(scene):
        database.stop()
        scene.prove("its port does not answer", has_struck=not database.is_ready())
        yield
        database.start()


@contextmanager
def there_are_too_many_connections(scene: Scene) -> Iterator[None]:
    """Open all connections that PostgreSQL permits, including those that the workers need."""
    held: list[psycopg.Connection] = []
    with _nothing_given_up(scene):
        try:
            told = _take_all(scene.stand, held)
            scene.prove(f"{len(held)} connections, and then: {told}", has_struck="too many clients" in told)
            yield
        finally:
            for connection in held:
                connection.close()


@contextmanager
def a_deadlock_is_forced(scene: Scene) -> Iterator[None]:
    """Cause a deadlock with a worker's transaction, which PostgreSQL then aborts."""
    stand, before = scene.stand, scene.stand.ask(DEADLOCKS)
    with _nothing_given_up(scene), stand.connect() as ours:
        ours.execute("BEGIN")
        # Our session checks for deadlocks later than the worker's, so the worker's transaction is aborted.
        ours.execute("SET LOCAL deadlock_timeout = '5s'")
        ours.execute("LOCK TABLE conversation_messages IN ACCESS EXCLUSIVE MODE")
        scene.wait_until(lambda: stand.ask(WAITING) > 0, "a worker waits for our lock")
        with suppress(psycopg.errors.DeadlockDetected):
            ours.execute("LOCK TABLE conversations IN ACCESS EXCLUSIVE MODE")
        ours.execute("ROLLBACK")
        scene.await_proof("the counter of deadlocks rose", lambda: stand.ask(DEADLOCKS) > before)
        yield


@contextmanager
def statements_are_cancelled_and_locked_out(scene: Scene) -> Iterator[None]:
    """Hold a lock for longer than the workers wait for it, and cancel their statements."""
    before = _lock_timeouts(scene)
    with _nothing_given_up(scene), scene.stand.connect() as ours:
        ours.execute("BEGIN")
        ours.execute("LOCK TABLE processed_events IN ACCESS EXCLUSIVE MODE")
        cancelled = 0
        for _ in range(3):
            scene.wait_until(lambda: scene.stand.ask(WAITING) > 0, "a worker waits for our lock")
            cancelled += _number(ours, CANCEL_OTHERS)
        scene.prove(f"{cancelled} statements were cancelled", has_struck=cancelled > 0)
        scene.await_proof("a worker waited for the lock in vain", lambda: _lock_timeouts(scene) > before)
        ours.execute("ROLLBACK")
        yield


@contextmanager
def the_disk_is_full(scene: Scene) -> Iterator[None]:
    """Fill the database's file system to the last byte, and free the space later."""
    stand = scene.stand
    filler = stand.directory / "tight" / "filler"
    starts = {worker.log: worker.log.stat().st_size for worker in stand.workers}
    with _nothing_given_up(scene):
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(b"\0" * 65536)
        try:
            scene.await_proof("a worker's transaction has met the full disk", lambda: _is_told(starts))
            yield
        finally:
            filler.unlink()


@contextmanager
def every_claim_takes_a_minute(scene: Scene) -> Iterator[None]:
    """Make the statement that claims events take a minute, until the strike ends."""
    stand = scene.stand
    with _nothing_given_up(scene):
        stand.execute(DAWDLE, DAWDLING)
        try:
            scene.await_proof("a claim sleeps", lambda: stand.ask(SLEEPING) > 0)
            yield
        finally:
            stand.execute(
                f"SELECT pg_cancel_backend(pid) {OTHERS} AND wait_event = 'PgSleep'",
                "DROP FUNCTION dawdle() CASCADE",
            )


@contextmanager
def it_fails_over_to_its_standby(scene: Scene) -> Iterator[None]:
    """Kill PostgreSQL, promote its synchronous standby at another address, and set up a new standby."""
    stand = scene.stand
    primary, standby = stand.postgresql, stand.standby
    assert primary is not None
    assert standby is not None
    with _nothing_given_up(scene):
        primary.kill_immediate()
        standby.promote()
        stand.postgresql, stand.standby = standby, primary
        scene.await_proof(
            f"port {standby.port} takes writes, port {primary.port} is dead",
            lambda: not stand.ask("SELECT pg_is_in_recovery()::int") and not primary.is_ready(),
        )
        before = stand.ask(ROWS)
        yield
        scene.wait_until(lambda: stand.ask(ROWS) > before, "events are committed there")
    primary.follow(standby)


def _lock_timeouts(scene: Scene) -> int:
    assert scene.stand.postgresql is not None
    return (scene.stand.postgresql.directory / "output.log").read_bytes().count(LOCK_TIMEOUT)


def _is_told(starts: dict[Path, int]) -> bool:
    return any(b"53100" in log.read_bytes()[start:] for log, start in starts.items())


@contextmanager
def _nothing_given_up(scene: Scene) -> Iterator[None]:
    """Check that the outage in the `with` block causes no dead letters."""
    view = scene.stand.view
    # Read the queue over AMQP, because the management API's totals are up to five seconds old.
    dead = sorted(view.bodies(DEAD_LETTERS))
    yield
    scene.stand.wait_healthy()
    assert sorted(view.bodies(DEAD_LETTERS)) == dead, "an outage made dead letters"


def _take_all(stand: Stand, held: list[psycopg.Connection]) -> str:
    """Open connections until PostgreSQL refuses more; do so several times, because the workers reconnect."""
    told = ""
    held.append(stand.connect())
    for _ in range(5):
        held[0].execute(TERMINATE_STRANGERS)
        try:
            while True:
                held.append(stand.connect())
        except psycopg.OperationalError as error:
            told = str(error).strip().rpartition("FATAL:")[2].strip()
    return told


def _number(connection: psycopg.Connection, question: str) -> int:
    row = connection.execute(question.encode()).fetchone()
    return int(row[0]) if row else 0
