"""Keep the secrets and addresses that units load as credentials, one file each, for root alone.

What is there already wins, then what the environment of the installing command says, then what the
installation itself makes up for the servers that it sets up.
"""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING, Final

from messaging.environment import Environment
from omctl.installing.files import read, replace
from omctl.installing.options import CREDENTIALS
from omctl.installing.step import Step, kept

if TYPE_CHECKING:
    from pathlib import Path

EDGE_BROKER: Final = CREDENTIALS / "edge" / "OM_AMQP_URL"
EDGE_MANAGEMENT: Final = CREDENTIALS / "edge" / "OM_MANAGEMENT_URL"
WORKER_BROKER: Final = CREDENTIALS / "worker" / "OM_AMQP_URL"
WORKER_DATABASE: Final = CREDENTIALS / "worker" / "OM_DATABASE_URL"
READER_DATABASE: Final = CREDENTIALS / "reader" / "OM_DATABASE_URL"
OWNER: Final = CREDENTIALS / "owner"
OWNER_BROKER: Final = OWNER / "OM_AMQP_URL"
OWNER_MANAGEMENT: Final = OWNER / "OM_MANAGEMENT_URL"
OWNER_DATABASE: Final = OWNER / "OM_DATABASE_URL"
WEBHOOK_SECRETS: Final = CREDENTIALS / "OM_WEBHOOK_SECRETS"
GENESYS_SECRET: Final = CREDENTIALS / "OM_GENESYS_CLIENT_SECRET"
REQUIRED_HEADERS: Final = CREDENTIALS / "OM_REQUIRED_HEADERS"
EVENTS_HEADERS: Final = CREDENTIALS / "OM_EVENTS_HEADERS"

BROKER: Final = (EDGE_BROKER, WORKER_BROKER, OWNER_BROKER)
MANAGEMENT: Final = (EDGE_MANAGEMENT, OWNER_MANAGEMENT)
DATABASE: Final = (WORKER_DATABASE, OWNER_DATABASE)

_GIVEN: Final = {
    "OM_AMQP_URL": BROKER,
    "OM_MANAGEMENT_URL": MANAGEMENT,
    "OM_DATABASE_URL": DATABASE,
    "OM_WEBHOOK_SECRETS": (WEBHOOK_SECRETS,),
    "OM_GENESYS_CLIENT_SECRET": (GENESYS_SECRET,),
    "OM_REQUIRED_HEADERS": (REQUIRED_HEADERS,),
    "OM_EVENTS_HEADERS": (EVENTS_HEADERS,),
}
"""Which credentials a variable of the installing command's environment becomes."""

_OTHERWISE: Final = "edit it, or delete it and install again"
_CHANGED_BY: Final = {"OM_WEBHOOK_SECRETS": "omctl rotate-secret changes it"}
"""How a person changes what is kept. What a rotation has retired must not come back by an upgrade."""


def given_steps() -> list[Step]:
    """Return the steps that keep what the environment names: servers and secrets that are there already."""
    environment = Environment()
    named = {name: environment.string(name) for name in _GIVEN}
    return [_given(path, name, value) for name, value in named.items() if value for path in _GIVEN[name]]


def missing_steps() -> list[Step]:
    """Return the steps that write the credentials that were not given.

    A first webhook secret is made up. Where the database has no reader of ours, its address is the workers':
    replace it by that of a role with fewer rights. The others stay empty.
    """
    fresh = {
        WEBHOOK_SECRETS: lambda: secrets.token_urlsafe(32),
        **dict.fromkeys((GENESYS_SECRET, REQUIRED_HEADERS, EVENTS_HEADERS, EDGE_MANAGEMENT), str),
    }
    if _workers_database():
        fresh[READER_DATABASE] = _workers_database
    return [
        Step(f"write {path}", path.exists, lambda path=path, make=make: keep(path, make()))  # type: ignore[misc]
        for path, make in fresh.items()
    ]


def _workers_database() -> str:
    return (read(WORKER_DATABASE) or "").strip()


def _given(path: Path, name: str, value: str) -> Step:
    """Keep a value where none is kept yet; an empty one stands for none."""
    if (read(path) or "").strip() in {"", value}:
        return Step(f"write {path}", lambda: read(path) == value + "\n", lambda: keep(path, value))
    return kept(f"{path}, which differs from {name}: {_CHANGED_BY.get(name, _OTHERWISE)}")


def keep(path: Path, value: str) -> None:
    """Write one credential."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for directory in (CREDENTIALS, path.parent):
        directory.chmod(0o700)
    replace(path, f"{value}\n", mode=0o600)


def are_there(paths: tuple[Path, ...]) -> bool:
    """Tell whether all of *paths* are written."""
    return all(path.exists() for path in paths)


def is_named(name: str) -> bool:
    """Tell whether a server is named: by credentials, or by the environment, of which these are made."""
    return are_there(_GIVEN[name]) or bool(Environment().string(name))


def owner_environment(environment: dict[str, str] | None = None) -> dict[str, str]:
    """Return an environment in which omctl acts as the owner of tables and queues."""
    kept = {name: value for name, value in (environment or os.environ).items() if not name.startswith("OM_")}
    return {**kept, "CREDENTIALS_DIRECTORY": str(OWNER)}
