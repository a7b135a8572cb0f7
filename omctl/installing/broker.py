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
from typing import TYPE_CHECKING, Final

from omctl.installing import credentials
from omctl.installing.authority import TRUSTED, certificate_step
from omctl.installing.files import read, replace
from omctl.installing.step import Step, is_installed, package_step, run, succeeds

if TYPE_CHECKING:
    from omctl.installing.options import Options

PACKAGE: Final = "rabbitmq-server"
LISTENERS: Final = Path("/etc/rabbitmq/conf.d/90-open-messaging.conf")
CERTIFICATES: Final = Path("/etc/rabbitmq/open-messaging")
_LONE: Final = """\
# Written by omctl install: the broker accepts connections of this host only.
listeners.tcp.default = 127.0.0.1:5672
management.tcp.ip = 127.0.0.1
management.tcp.port = 15672
"""
_CLUSTERED: Final = f"""\
# Written by omctl install: the hosts of a cluster reach each other's brokers by TLS.
listeners.tcp = none
listeners.ssl.default = 5671
ssl_options.cacertfile = {TRUSTED}
ssl_options.certfile = {CERTIFICATES}/certificate.pem
ssl_options.keyfile = {CERTIFICATES}/key.pem
ssl_options.versions.1 = tlsv1.3
ssl_options.versions.2 = tlsv1.2
ssl_options.verify = verify_none
ssl_options.fail_if_no_peer_cert = false
management.ssl.port = 15671
management.ssl.cacertfile = {TRUSTED}
management.ssl.certfile = {CERTIFICATES}/certificate.pem
management.ssl.keyfile = {CERTIFICATES}/key.pem
cluster_partition_handling = pause_minority
"""
"""Clients verify the broker and give a password; the broker asks for no certificate of theirs."""


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

_FORMS: Final = {
    False: ("amqp://{}@{}:5672/%2F", "http://{}@{}:15672"),
    True: ("amqps://{}@{}:5671/%2F", "https://{}@{}:15671"),
}
"""Addresses of the broker and of its management API, by whether the hosts of a cluster reach it."""

_CREDENTIALS: Final = (*credentials.BROKER, *credentials.MANAGEMENT)
USER_NAMES: Final = tuple(user.name for user in _USERS)


def server_steps(options: Options) -> list[Step]:
    """Return the steps to a broker that runs on this host."""
    # A broker that is here already may serve others: where it listens is left alone.
    is_ours = not is_installed(PACKAGE) or LISTENERS.exists()
    text = _CLUSTERED if options.cluster else _LONE
    guest = Step("delete RabbitMQ's user guest, an administrator", lambda: not _has_guest(), _delete_guest)
    listen = Step(f"write {LISTENERS}", lambda: read(LISTENERS) == text, lambda: _listen(text))
    # A broker alone listens to this host from its first start on. A cluster's needs an account for the key.
    first = [package_step(PACKAGE), certificate_step(CERTIFICATES, "rabbitmq")] if options.cluster else []
    return [
        *first,
        *([listen] if is_ours else []),
        package_step(PACKAGE),
        Step("enable RabbitMQ's management plugin", _has_management, _enable_management),
        *([guest] if is_ours else []),
    ]


def users_step(options: Options) -> Step:
    """Return the step that makes the users, and keeps their addresses."""
    return Step("make the broker's users", lambda: _has_users(options), lambda: _make_users(options))


def _listen(text: str) -> None:
    replace(LISTENERS, text, mode=0o644)
    if is_installed(PACKAGE):
        run(["systemctl", "try-restart", PACKAGE])


def _has_users(options: Options) -> bool:
    """Tell whether all addresses are kept, and name each host of the cluster."""
    if not credentials.are_there(_CREDENTIALS):
        return False
    addresses = credentials.EDGE_BROKER.read_text(encoding="utf-8")
    return all(f"@{host}:5671" in addresses for host in options.cluster)


def _has_guest() -> bool:
    listed = run(["rabbitmqctl", "--quiet", "list_users"]) if is_installed(PACKAGE) else "guest"
    return any(line.split()[:1] == ["guest"] for line in listed.splitlines())


def _delete_guest() -> None:
    run(["rabbitmqctl", "--quiet", "delete_user", "guest"])


def _has_management() -> bool:
    return succeeds(["rabbitmq-plugins", "--quiet", "is_enabled", "rabbitmq_management"])


def _enable_management() -> None:
    run(["rabbitmq-plugins", "--quiet", "enable", "rabbitmq_management"])


def _make_users(options: Options) -> None:
    """Make the users, or give those that exist new passwords and the rights that they need."""
    passwords = {user.name: secrets.token_urlsafe(24) for user in _USERS}
    _import(
        {
            "users": [_user_entry(user, passwords[user.name]) for user in _USERS],
            "permissions": [_rights_entry(user) for user in _USERS],
        }
    )
    amqp, http = _FORMS[bool(options.cluster)]
    for user in _USERS:
        login = f"{user.name}:{passwords[user.name]}"
        credentials.keep(user.broker, ",".join(amqp.format(login, host) for host in options.brokers))
        if user.management:
            credentials.keep(user.management, ",".join(http.format(login, host) for host in options.brokers))


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
