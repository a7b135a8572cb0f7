"""Set up PostgreSQL on this host, with roles for the owner, the service and the reader."""

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from omctl.installing import credentials
from omctl.installing.credentials import TRUSTED, certificate_step, read_stripped
from omctl.installing.options import Options
from omctl.installing.steps import Step, package_step, read, replace, restart_policy_step, run, shipped

PACKAGE: Final = "postgresql"
DATABASE: Final = "open_messaging"
OWNER: Final = "open_messaging_owner"
SERVICE: Final = "open_messaging"
READER: Final = "open_messaging_reader"
"""om-observe's role. `omctl migrate --read-only-role` lets it read everything except message content."""
PSQL: Final = ("runuser", "-u", "postgres", "--", "psql", "--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1")

_ROLES: Final = {
    OWNER: credentials.OWNER_DATABASE,
    SERVICE: credentials.WORKER_DATABASE,
    READER: credentials.READER_DATABASE,
}
"""For each database role, the credential file with its database URL."""

_MARK: Final = "# Open Messaging Ingest:"
_HEADING: Final = f"{_MARK} the hosts of its cluster. omctl install replaces everything below."
_ACCESS: Final = f"hostssl {DATABASE} {OWNER},{SERVICE},{READER} {{}} scram-sha-256"
_CERTIFICATES: Final = Path("/etc/postgresql/open-messaging")


def database_steps(options: Options) -> Iterator[Step]:
    """Yield the steps that set up PostgreSQL on this host and, for a cluster, admit its other hosts."""
    yield package_step(PACKAGE)
    yield restart_policy_step("postgresql@.service")
    title = f"create the database {DATABASE} and its users"
    yield Step(title, lambda: not missing_roles(options), lambda: _create(options))
    if options.cluster:
        yield certificate_step(_CERTIFICATES, "postgres", PACKAGE, "systemctl reload postgresql")
        yield Step(
            "let PostgreSQL accept the cluster's hosts",
            lambda: all(read(path) == text for path, text in _files(options).items()),
            lambda: _listen(options),
        )


def _files(options: Options) -> dict[Path, str]:
    """Return the path and new text of each PostgreSQL version's access rules and of our settings file."""
    rules = sorted(Path("/etc/postgresql").glob("*/main/pg_hba.conf"))
    ours = shipped("postgresql/cluster.conf", CERTIFICATES=str(_CERTIFICATES))
    settings = {path.parent / "conf.d/open-messaging.conf": ours for path in rules}
    return {path: render_access(read(path) or "", options) for path in rules} | settings


def _listen(options: Options) -> None:
    for path, text in _files(options).items():
        replace(path, text, mode=None if path.exists() else 0o644)
    run("systemctl restart postgresql")


def render_access(text: str, options: Options) -> str:
    """Return pg_hba.conf's *text* with rules that admit this host and every address of the other hosts."""
    others = (f"{address}/{address.max_prefixlen}" for address in options.other_addresses())
    lines = [_HEADING, *map(_ACCESS.format, ["samehost", *others])]
    return "\n".join([text.partition(_MARK)[0].rstrip(), *lines, ""])


def is_ours(options: Options) -> bool:
    """Return whether an earlier installation set up the database on this host."""
    address = read_stripped(credentials.WORKER_DATABASE)
    is_here = any(f"@{host}/{DATABASE}" in address for host in (options.brokers[0], "127.0.0.1"))
    return options.is_first and f"//{SERVICE}:" in address and is_here


def missing_roles(options: Options) -> list[str]:
    """Return the database roles whose credential file does not contain this database's URL."""
    return [role for role, path in _ROLES.items() if not read_stripped(path).endswith(f"@{_server(options)}")]


def _create(options: Options) -> None:
    """Create the missing roles, database and grants. A role whose stored URL is lost gets a new password."""
    passwords = {role: secrets.token_urlsafe(24) for role in missing_roles(options)}
    roles = (shipped("postgresql/role.sql", ROLE=role, PASSWORD=passwords[role]) for role in passwords)
    database = shipped("postgresql/database.sql", DATABASE=DATABASE, OWNER=OWNER, SERVICE=SERVICE)
    run(PSQL, text="".join([*roles, database]))
    for role, password in passwords.items():
        credentials.store(_ROLES[role], f"postgresql+psycopg://{role}:{password}@{_server(options)}")


def _server(options: Options) -> str:
    verified = f"?sslmode=verify-full&sslrootcert={TRUSTED}&channel_binding=require"
    return f"{options.brokers[0]}/{DATABASE}{verified if options.cluster else ''}"
