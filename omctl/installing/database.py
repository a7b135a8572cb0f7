"""Set up a PostgreSQL database on this host if none is named: owner, service user and reader."""

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from omctl.installing import credentials
from omctl.installing.credentials import TRUSTED, certificate_step, read_stripped
from omctl.installing.options import Options
from omctl.installing.steps import Step, package_step, read, replace, restart_policy_step, run

PACKAGE: Final = "postgresql"
DATABASE: Final = "open_messaging"
OWNER: Final = "open_messaging_owner"
SERVICE: Final = "open_messaging"
READER: Final = "open_messaging_reader"
"""The role for metrics. It reads everything but content; `omctl migrate --read-only-role` grants this."""
PSQL: Final = ("runuser", "-u", "postgres", "--", "psql", "--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1")

_ROLES: Final = {
    OWNER: credentials.OWNER_DATABASE,
    SERVICE: credentials.WORKER_DATABASE,
    READER: credentials.READER_DATABASE,
}
"""Each role with the credential that holds its address."""

_CREATE_ROLE: Final = """\
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN CREATE ROLE {role} LOGIN; END IF;
END $$;
ALTER ROLE {role} PASSWORD '{password}';
"""

_CREATE_DATABASE: Final = f"""\
SELECT 'CREATE DATABASE {DATABASE} OWNER {OWNER}'
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{DATABASE}') \\gexec
\\connect {DATABASE}
REVOKE ALL ON DATABASE {DATABASE} FROM PUBLIC;
GRANT CONNECT ON DATABASE {DATABASE} TO {SERVICE};
GRANT USAGE, CREATE ON SCHEMA public TO {OWNER};
GRANT USAGE ON SCHEMA public TO {SERVICE};
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {SERVICE};
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {SERVICE};
ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {SERVICE};
ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO {SERVICE};
"""  # noqa: S608  every name is a constant
"""The service may read and write rows, but may not change the tables themselves."""

_MARK: Final = "# Open Messaging Ingest:"
_HEADING: Final = f"{_MARK} the hosts of its cluster. omctl install replaces everything below."
_ACCESS: Final = f"hostssl {DATABASE} {OWNER},{SERVICE},{READER} {{}} scram-sha-256"
_CERTIFICATES: Final = Path("/etc/postgresql/open-messaging")
_CLUSTERED: Final = f"""\
listen_addresses = '*'
ssl = on
ssl_cert_file = '{_CERTIFICATES}/certificate.pem'
ssl_key_file = '{_CERTIFICATES}/key.pem'
"""


def database_steps(options: Options) -> Iterator[Step]:
    """Yield the steps that set up a database on this host."""
    yield package_step(PACKAGE)
    yield restart_policy_step("postgresql@.service")
    title = f"create the database {DATABASE} and its users"
    yield Step(title, lambda: not missing_roles(options), lambda: _create(options))
    if options.cluster:
        yield certificate_step(_CERTIFICATES, "postgres", "systemctl reload postgresql")
        title = "let PostgreSQL accept the cluster's hosts"
        yield Step(title, lambda: _listens(options), lambda: _listen(options))


def _files(options: Options) -> dict[Path, str]:
    """Return each PostgreSQL version's access rules and our settings, which admit the cluster's hosts."""
    rules = sorted(Path("/etc/postgresql").glob("*/main/pg_hba.conf"))
    settings = {path.parent / "conf.d/open-messaging.conf": _CLUSTERED for path in rules}
    return {path: render_access(read(path) or "", options) for path in rules} | settings


def _listens(options: Options) -> bool:
    return all(read(path) == text for path, text in _files(options).items())


def _listen(options: Options) -> None:
    for path, text in _files(options).items():
        replace(path, text, mode=None if path.exists() else 0o644)
    run("systemctl restart postgresql")


def render_access(text: str, options: Options) -> str:
    """Return pg_hba.conf's text with a line for this host and for each address of the others."""
    others = (f"{address}/{address.max_prefixlen}" for address in options.other_addresses())
    lines = [_HEADING, *map(_ACCESS.format, ["samehost", *others])]
    return "\n".join([text.partition(_MARK)[0].rstrip(), *lines, ""])


def is_ours(options: Options) -> bool:
    """Return whether an earlier installation set up the database on this host."""
    address = read_stripped(credentials.WORKER_DATABASE)
    is_here = any(f"@{host}/{DATABASE}" in address for host in (options.brokers[0], "127.0.0.1"))
    return options.is_first and f"//{SERVICE}:" in address and is_here


def has_reader() -> bool:
    """Return whether the reader's address is that of our own role."""
    return f"//{READER}:" in read_stripped(credentials.READER_DATABASE)


def missing_roles(options: Options) -> list[str]:
    """Return the roles without a stored address of this database."""
    return [role for role, path in _ROLES.items() if not read_stripped(path).endswith(f"@{_server(options)}")]


def _create(options: Options) -> None:
    """Create missing users, database and rights; give a user whose address is lost a new password."""
    passwords = {role: secrets.token_urlsafe(24) for role in missing_roles(options)}
    roles = "".join(_CREATE_ROLE.format(role=role, password=password) for role, password in passwords.items())
    run(PSQL, text=roles + _CREATE_DATABASE)
    for role, password in passwords.items():
        credentials.store(_ROLES[role], f"postgresql+psycopg://{role}:{password}@{_server(options)}")


def _server(options: Options) -> str:
    verified = f"?sslmode=verify-full&sslrootcert={TRUSTED}&channel_binding=require"
    return f"{options.brokers[0]}/{DATABASE}{verified if options.cluster else ''}"
