"""Run a PostgreSQL server that can follow another server as its synchronous standby, or be promoted."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, ClassVar

import psycopg

from tests.servers import LOOPBACK, PrivatePostgreSQL
from tests.servers.postgresql import program, unprivileged
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

IN_SYNC = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"


class ReplicatedPostgreSQL(PrivatePostgreSQL):
    """A private PostgreSQL server, a primary or a standby, that records the time of each commit."""

    settings: ClassVar[dict[str, str]] = {"track_commit_timestamp": "on"}

    def follow(self, primary: ReplicatedPostgreSQL) -> None:
        """Replace all data with a copy of the primary's data, and follow the primary.

        Return when the primary's commits wait for this server.
        """
        self.kill_immediate()
        data = self.directory / "data"
        shutil.rmtree(data, ignore_errors=True)
        source = f"host={LOOPBACK} port={primary.port} user=postgres application_name=standby"
        copy = [
            *unprivileged(),
            program("pg_basebackup"),
            "-D",
            str(data),
            "-d",
            source,
            "-R",
            "-X",
            "stream",
        ]
        self.directory.chmod(0o777)
        subprocess.run([*copy, "--checkpoint=fast"], check=True, capture_output=True, cwd="/")
        self.start()
        primary.run("ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
        wait_until(lambda: primary.run(IN_SYNC) > 0, 60, "the standby is in sync")

    def promote(self) -> None:
        """Stop following the primary, and accept writes without waiting for a standby."""
        self.run("SELECT pg_promote()::int")
        self.run("ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")

    def run(self, *statements: str) -> int:
        """Run statements, and return the number that the last statement selects, or 0."""
        address: Sequence[str] = (
            f"host={LOOPBACK}",
            f"port={self.port}",
            "user=postgres",
            "connect_timeout=3",
        )
        with psycopg.connect(" ".join(address), autocommit=True) as connection:
            for statement in statements:
                cursor = connection.execute(statement.encode())
            row = cursor.fetchone() if cursor.description else None
        return int(row[0]) if row else 0
