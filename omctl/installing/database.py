"""Set up a PostgreSQL database on this host, for whoever named none: its owner and a user."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Final

from omctl.installing import credentials
from omctl.installing.authority import TRUSTED, certificate_step
from omctl.installing.files import read, replace, restart_step
from omctl.installing.options import addresses
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

_MARK: Final = "# Open Messaging Ingest: the hosts of its cluster. omctl install replaces everything below."
_LET_IN: Final = f"hostssl {DATABASE} {OWNER},{SERVICE},{READER} {{}} scram-sha-256"
_CERTIFICATES: Final = Path("/etc/postgresql/open-messaging")
_CLUSTERED: Final = f"""\
listen_addresses = '*'
ssl = on
ssl_cert_file = '{_CERTIFICATES}/certificate.pem'
ssl_key_file = '{_CERTIFICATES}/key.pem'
"""
_VERIFIED: Final = f"?sslmode=verify-full&sslrootcert={TRUSTED}&channel_binding=require"


def database_steps(options: Options) -> list[Step]:
    """Return the steps to a database on this host."""
    steps = [
        package_step(PACKAGE),
        restart_step("postgresql@.service"),
        Step(
            f"make the database {DATABASE} and its users",
            lambda: not missing_roles(options),
            lambda: _make(options),
        ),
    ]
    if options.cluster:
        listen = Step(
            "have PostgreSQL accept the cluster's hosts", lambda: _listens(options), lambda: _listen(options)
        )
        steps += [certificate_step(_CERTIFICATES, "postgres"), listen]
    return steps


def _listens(options: Options) -> bool:
    return all(
        read(path) == _with_hosts(read(path) or "", options) and read(_own(path)) == _CLUSTERED
        for path in _access_files()
    )


def _listen(options: Options) -> None:
    """Let the cluster's hosts in, by TLS and password."""
    for path in _access_files():
        mode = path.stat()
        replace(path, _with_hosts(path.read_text(encoding="utf-8"), options), mode=0o640)
        os.chown(path, mode.st_uid, mode.st_gid)
        replace(_own(path), _CLUSTERED, mode=0o644)
    run(["systemctl", "restart", "postgresql"])


def _with_hosts(text: str, options: Options) -> str:
    """Return pg_hba.conf's text with a line for this host and for each address of the others."""
    places = ["samehost", *(f"{address}/{address.max_prefixlen}" for address in addresses(options))]
    lines = [_MARK, *map(_LET_IN.format, places)]
    return "\n".join([text.partition("# Open Messaging Ingest:")[0].rstrip(), *lines, ""])


def _access_files() -> list[Path]:
    return sorted(Path("/etc/postgresql").glob("*/main/pg_hba.conf"))


def _own(access: Path) -> Path:
    return access.parent / "conf.d" / "open-messaging.conf"


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


def missing_roles(options: Options) -> list[str]:
    """Return the roles of which no address is kept, or one in another place."""
    place = f"@{_place(options)}"
    return [role for role, path in _ROLES.items() if not (read(path) or "").strip().endswith(place)]


def _make(options: Options) -> None:
    """Make the missing users, database and rights; a missing user that exists gets another password."""
    passwords = {role: secrets.token_urlsafe(24) for role in missing_roles(options)}
    roles = "".join(_ROLE.format(role=role, password=password) for role, password in passwords.items())
    rights = _DATABASE.format(database=DATABASE, owner=OWNER, service=SERVICE)
    command = ["runuser", "-u", "postgres", "--", "psql", "--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1"]
    run(command, text=roles + rights)
    for role, password in passwords.items():
        address = f"postgresql+psycopg://{role}:{password}@{_place(options)}"
        credentials.keep(_ROLES[role], address)


def _place(options: Options) -> str:
    return f"{options.brokers[0]}/{DATABASE}{_VERIFIED if options.cluster else ''}"
