"""Set up a PostgreSQL database on this host, for whoever named none: its owner and a user."""

from __future__ import annotations

import secrets
from typing import Final

from omctl.installing import credentials
from omctl.installing.files import restart_step
from omctl.installing.packages import package_step
from omctl.installing.step import Step, run

PACKAGE: Final = "postgresql"
DATABASE: Final = "open_messaging"
OWNER: Final = "open_messaging_owner"
SERVICE: Final = "open_messaging"

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


def database_steps() -> list[Step]:
    """Return the steps to a database on this host."""
    return [
        package_step(PACKAGE),
        restart_step("postgresql@.service"),
        Step(
            f"make the database {DATABASE} and its two users",
            lambda: credentials.are_there(credentials.DATABASE),
            _make,
        ),
    ]


def _make() -> None:
    """Make users, database and rights; passwords of users that exist are changed."""
    passwords = {OWNER: secrets.token_urlsafe(24), SERVICE: secrets.token_urlsafe(24)}
    roles = "".join(_ROLE.format(role=role, password=password) for role, password in passwords.items())
    rights = _DATABASE.format(database=DATABASE, owner=OWNER, service=SERVICE)
    command = ["runuser", "-u", "postgres", "--", "psql", "--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1"]
    run(command, text=roles + rights)
    credentials.keep(credentials.OWNER_DATABASE, _url(OWNER, passwords[OWNER]))
    credentials.keep(credentials.WORKER_DATABASE, _url(SERVICE, passwords[SERVICE]))


def _url(user: str, password: str) -> str:
    return f"postgresql+psycopg://{user}:{password}@127.0.0.1/{DATABASE}"
