"""Strike PostgreSQL: killed, away, full, deadlocked, out of connections."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import psycopg

from tests.chaos.service import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.chaos.scene import Scene
    from tests.chaos.stand import Stand

AWAY_SECONDS = 60.0
LOCK_TIMEOUT_SECONDS = 10.0
"""The workers' own lock_timeout."""

OTHERS = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
TERMINATE_STRANGERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE backend_type = 'client backend' AND application_name <> 'chaos'"
)
CANCEL_OTHERS = f"SELECT pg_cancel_backend(pid) {OTHERS} AND state = 'active'"
WAITING = f"SELECT count(*) {OTHERS} AND wait_event_type = 'Lock'"
DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"

TIGHT_MEGABYTES = 48


@contextmanager
def on_a_tight_disk(stand: Stand) -> Iterator[None]:
    """Move the busiest table onto a small file system of its own."""
    disk = stand.directory / "tight"
    disk.mkdir(exist_ok=True)
    _mount(stand, f"size={TIGHT_MEGABYTES}m")
    execute(stand, f"CREATE TABLESPACE tight LOCATION '{disk}/data'")
    execute(stand, "ALTER TABLE processed_events SET TABLESPACE tight")
    try:
        yield
    finally:
        execute(stand, "ALTER TABLE processed_events SET TABLESPACE pg_default")
        execute(stand, "DROP TABLESPACE tight")
        subprocess.run(["umount", str(disk)], check=False)


def the_database_is_killed(scene: Scene) -> None:
    """End it as a crash would, and start it again."""

    def strike(stand: Stand) -> None:
        stand.postgresql.kill_immediate()
        scene.wait(1.0, 4.0)
        stand.postgresql.start()

    _outage(scene, strike)


def the_database_is_away_for_a_minute(scene: Scene) -> None:
    """Stop it for a minute."""

    def strike(stand: Stand) -> None:
        stand.postgresql.stop()
        time.sleep(AWAY_SECONDS)
        stand.postgresql.start()

    _outage(scene, strike)


def there_are_too_many_connections(scene: Scene) -> None:
    """Take every connection that the server has to give, the workers' own as well."""

    def strike(stand: Stand) -> None:
        held: list[psycopg.Connection] = []
        try:
            _take_all(stand, held)
            scene.wait(3.0, 6.0)
        finally:
            for connection in held:
                connection.close()

    _outage(scene, strike)


def a_deadlock_is_forced(scene: Scene) -> None:
    """Hold what a worker needs and ask for what it holds, until a worker has been the victim."""

    def strike(stand: Stand) -> None:
        before = _number(stand, DEADLOCKS)
        with _connect(stand) as ours:
            ours.execute("BEGIN")
            # Nobody but the worker looks for deadlocks, so the worker is the victim.
            ours.execute("SET LOCAL deadlock_timeout = '5s'")
            ours.execute("LOCK TABLE conversation_messages IN ACCESS EXCLUSIVE MODE")
            wait_until(lambda: _number(stand, WAITING) > 0, 10, "a worker waits for our lock")
            with suppress(psycopg.errors.DeadlockDetected):
                ours.execute("LOCK TABLE conversations IN ACCESS EXCLUSIVE MODE")
            ours.execute("ROLLBACK")
        wait_until(lambda: _number(stand, DEADLOCKS) > before, 10, "there was a deadlock")

    _outage(scene, strike)


def statements_take_too_long(scene: Scene) -> None:
    """Hold a lock for longer than the workers wait, and have their statements cancelled."""

    def strike(stand: Stand) -> None:
        with _connect(stand) as ours:
            ours.execute("BEGIN")
            ours.execute("LOCK TABLE processed_events IN ACCESS EXCLUSIVE MODE")
            for _ in range(3):
                scene.wait(0.5, 1.0)
                ours.execute(CANCEL_OTHERS)
            time.sleep(LOCK_TIMEOUT_SECONDS + 1.0)
            ours.execute("ROLLBACK")

    _outage(scene, strike)


def the_disk_is_full(scene: Scene) -> None:
    """Fill the file system up to the last byte, and free it again."""

    def strike(stand: Stand) -> None:
        filler = stand.directory / "tight" / "filler"
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(b"\0" * 65536)
        try:
            wait_until(lambda: logs.tell("SQLSTATE 53100"), 60, "a worker has met the full disk")
            scene.wait(2.0, 4.0)
        finally:
            filler.unlink()

    logs = scene.stand.watch_logs()
    _outage(scene, strike)


def _outage(scene: Scene, strike: Callable[[Stand], None]) -> None:
    """Strike, and see that nothing was given up because of it."""
    stand = scene.stand
    dead = stand.queues.depth("dead-letters")
    with scene.driver.watch() as seen:
        strike(stand)
        stand.wait_healthy(60)
    assert set(seen.statuses) == {200}, f"not every request was answered 200: {seen.statuses} {seen.failures}"
    assert stand.queues.depth("dead-letters") == dead, "an outage made dead letters"


def _take_all(stand: Stand, held: list[psycopg.Connection]) -> None:
    """Take connections until there are none, some times, since the workers come back for theirs."""
    held.append(_connect(stand))
    for _ in range(5):
        held[0].execute(TERMINATE_STRANGERS)
        with suppress(psycopg.OperationalError):
            while True:
                held.append(_connect(stand))


def _connect(stand: Stand) -> psycopg.Connection:
    assert stand.postgresql is not None
    address = stand.database_url.replace("+psycopg", "")
    return psycopg.connect(address, autocommit=True, application_name="chaos", connect_timeout=5)


def execute(stand: Stand, statement: str) -> None:
    """Run one statement outside of any transaction."""
    with _connect(stand) as connection:
        connection.execute(statement.encode())


def _number(stand: Stand, question: str) -> int:
    with _connect(stand) as connection:
        row = connection.execute(question.encode()).fetchone()
    return int(row[0]) if row else 0


def _mount(stand: Stand, options: str) -> None:
    disk = stand.directory / "tight"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)], check=True)
    (disk / "data").mkdir()
    owner = (stand.directory / "postgresql" / "data").stat()
    os.chown(disk / "data", owner.st_uid, owner.st_gid)
