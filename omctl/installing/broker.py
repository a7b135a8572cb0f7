"""Set up a RabbitMQ on this host, for whoever named none, with a user of the least rights for each side."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from omctl.installing import credentials
from omctl.installing.files import replace
from omctl.installing.packages import is_installed, package_step
from omctl.installing.step import Step, run, succeeds

PACKAGE: Final = "rabbitmq-server"
LOOPBACK: Final = Path("/etc/rabbitmq/conf.d/90-open-messaging.conf")
LISTENERS: Final = """\
# Written by omctl install: nobody but this host talks to the broker. Take it away for a cluster.
listeners.tcp.default = 127.0.0.1:5672
management.tcp.ip = 127.0.0.1
management.tcp.port = 15672
"""


@dataclass(frozen=True, slots=True)
class _User:
    """A user of the broker.

    Args:
        name: Of the user.
        configure: What it may declare and delete, a pattern.
        write: What it may publish to.
        read: What it may consume from and bind.
        broker: The credentials that hold its AMQP address.
        management: Those that hold its address of the management API.
    """

    name: str
    configure: str
    write: str
    read: str
    broker: Path
    management: Path | None = None


_USERS: Final = (
    # A passive declare, which is the edge's proof, asks for no right at all (RabbitMQ 4.0).
    _User(
        "open-messaging-edge", "^$", r"^open-messaging$", "^$",
        credentials.EDGE_BROKER, credentials.EDGE_MANAGEMENT,
    ),
    _User(
        "open-messaging-worker", "^$", r"^open-messaging(\..*)?$", r"^open-messaging\..*$",
        credentials.WORKER_BROKER,
    ),
    _User(
        "open-messaging-owner", r"^open-messaging(\..*)?$", r"^open-messaging(\..*)?$",
        r"^open-messaging(\..*)?$", credentials.OWNER_BROKER, credentials.OWNER_MANAGEMENT,
    ),
)  # fmt: skip

_CREDENTIALS: Final = (*credentials.BROKER, *credentials.MANAGEMENT)
USER_NAMES: Final = tuple(user.name for user in _USERS)


def broker_steps() -> list[Step]:
    """Return the steps to a broker of this host's own; none where one was named."""
    # A broker that is here already may serve others: where it listens is left alone.
    is_ours = not is_installed(PACKAGE) or LOOPBACK.exists()
    listen = Step("have RabbitMQ listen on loopback", LOOPBACK.exists, _listen_on_loopback)
    return [
        *([listen] if is_ours else []),
        package_step(PACKAGE),
        Step("enable RabbitMQ's management plugin", _has_management, _enable_management),
        Step("make the broker's users", lambda: credentials.are_there(_CREDENTIALS), _make_users),
    ]


def _listen_on_loopback() -> None:
    replace(LOOPBACK, LISTENERS, mode=0o644)


def _has_management() -> bool:
    return succeeds(["rabbitmq-plugins", "--quiet", "is_enabled", "rabbitmq_management"])


def _enable_management() -> None:
    run(["rabbitmq-plugins", "--quiet", "enable", "rabbitmq_management"])


def _make_users() -> None:
    """Make the users, or give those that exist new passwords and the rights that they need."""
    passwords = {user.name: secrets.token_urlsafe(24) for user in _USERS}
    _import(
        {
            "users": [_user_entry(user, passwords[user.name]) for user in _USERS],
            "permissions": [_rights_entry(user) for user in _USERS],
        }
    )
    for user in _USERS:
        login = f"{user.name}:{passwords[user.name]}"
        credentials.keep(user.broker, f"amqp://{login}@127.0.0.1:5672/%2F")
        if user.management:
            credentials.keep(user.management, f"http://{login}@127.0.0.1:15672")


def _user_entry(user: _User, password: str) -> dict[str, object]:
    """Return a user as definitions name it; the password as the broker keeps it: salted and hashed.

    Source: RabbitMQ, "Passwords", "This is the algorithm".
    """
    salt = secrets.token_bytes(4)
    hashed = base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()
    algorithm = "rabbit_password_hashing_sha256"
    tags = ["management"] if user.management else []
    return {"name": user.name, "password_hash": hashed, "hashing_algorithm": algorithm, "tags": tags}


def _rights_entry(user: _User) -> dict[str, object]:
    rights = {"configure": user.configure, "write": user.write, "read": user.read}
    return {"user": user.name, "vhost": "/", **rights}


def _import(definitions: dict[str, object]) -> None:
    """Have the broker take definitions up, from a file that its own account can read."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        os.fchmod(file.fileno(), 0o644)
        json.dump(definitions, file)
        file.flush()
        run(["rabbitmqctl", "--quiet", "import_definitions", file.name])
