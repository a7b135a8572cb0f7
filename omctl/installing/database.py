"""Set up a PostgreSQL database on this host, for whoever named none: its owner and a user."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Final

from omctl.installing import credentials
from omctl.installing.files import read, replace, restart_step
from omctl.installing.step import Step, package_step, run

if TYPE_CHECKING:
    from omctl.installing.options import Options

PACKAGE: Final = "postgresql"
DATABASE: Final = "open_messaging"
OWNER: Final = "open_messaging_owner"
SERVICE: Final = "open_messaging"
READER: Final = "open_messaging_reader"
"""Reads what has no content, for metrics: `omctl migrate --read-only-role` grants it that."""

_ROLES: Final = {
    OWNER: credentials.OWNER_DATABASE,
    SERVICE: credentials.WORKER_DATABASE,
    READER: credentials.READER_DATABASE,
}
"""Each with the credential that holds its address."""

_ROLE: Final = """\
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN CREATE ROLE {role} LOGIN; END IF;
END $$;
ALTER ROLE {role} PASSWORD '{password}';
"""

_DATABASE: Final = """\
SELECT 'CREATE DATABASE {database} OWNER {owner}'
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{database}') \\gexec
\\connect {database}
REVOKE ALL ON DATABASE {database} FROM PUBLIC;
GRANT CONNECT ON DATABASE {database} TO {service};
GRANT USAGE, CREATE ON SCHEMA public TO {owner};
GRANT USAGE ON SCHEMA public TO {service};
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {service};
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {service};
ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {service};
ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO {service};
"""
"""The service may read and write rows, and change no table."""

_MARK: Final = "# Open Messaging Ingest: the other hosts of its cluster, which stand in this host's network."
_LET_IN: Final = f"hostssl {DATABASE} {OWNER},{SERVICE},{READER} samenet scram-sha-256\n"


def database_steps(options: Options) -> list[Step]:
    """Return the steps to a database on this host."""
    host = options.brokers[0]
    steps = [
        package_step(PACKAGE),
        restart_step("postgresql@.service"),
        Step(
            f"make the database {DATABASE} and its users",
            lambda: not missing_roles(host),
            lambda: _make(host),
        ),
    ]
    if options.cluster:
        steps.append(Step("have PostgreSQL listen to the cluster", _listens, _listen))
    return steps


def _listens() -> bool:
    return all(_MARK in (read(path) or "") for path in _clusters_of_debian("pg_hba.conf"))


def _listen() -> None:
    """Let the hosts of this network in, by TLS and password."""
    for path in _clusters_of_debian("pg_hba.conf"):
        mode = path.stat()
        text = f"{path.read_text(encoding='utf-8').rstrip()}\n{_MARK}\n{_LET_IN}"
        replace(path, text, mode=0o640)
        os.chown(path, mode.st_uid, mode.st_gid)
        replace(path.parent / "conf.d" / "open-messaging.conf", "listen_addresses = '*'\n", mode=0o644)
    run(["systemctl", "restart", "postgresql"])


def _clusters_of_debian(name: str) -> list[Path]:
    return sorted(Path("/etc/postgresql").glob(f"*/main/{name}"))


def is_ours(options: Options) -> bool:
    """Return whether an earlier installation has set up the database on this host."""
    return (
        options.is_first
        and f"//{SERVICE}:" in (address := read(credentials.WORKER_DATABASE) or "")
        and any(f"@{host}/{DATABASE}" in address for host in (options.brokers[0], "127.0.0.1"))
    )


def has_reader() -> bool:
    """Return whether the reader's address is that of a role made here."""
    return f"//{READER}:" in (read(credentials.READER_DATABASE) or "")


def missing_roles(host: str) -> list[str]:
    """Return the roles of which no address at *host* is kept."""
    return [
        role
        for role, path in _ROLES.items()
        if _url(role, "", host).partition(":@")[2] not in (read(path) or "")
    ]


def _make(host: str) -> None:
    """Make the missing users, database and rights; a missing user that exists gets another password."""
    passwords = {role: secrets.token_urlsafe(24) for role in missing_roles(host)}
    roles = "".join(_ROLE.format(role=role, password=password) for role, password in passwords.items())
    rights = _DATABASE.format(database=DATABASE, owner=OWNER, service=SERVICE)
    command = ["runuser", "-u", "postgres", "--", "psql", "--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1"]
    run(command, text=roles + rights)
    for role, password in passwords.items():
        credentials.keep(_ROLES[role], _url(role, password, host))


def _url(user: str, password: str, host: str) -> str:
    return f"postgresql+psycopg://{user}:{password}@{host}/{DATABASE}"
