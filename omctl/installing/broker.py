"""Set up a RabbitMQ on this host, for whoever named none, with a user of the least rights for each side."""

from __future__ import annotations

import json
import secrets
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
        *(_user_step(user) for user in _USERS),
    ]


def _listen_on_loopback() -> None:
    replace(LOOPBACK, LISTENERS, mode=0o644)


def _has_management() -> bool:
    return succeeds(["rabbitmq-plugins", "--quiet", "is_enabled", "rabbitmq_management"])


def _enable_management() -> None:
    run(["rabbitmq-plugins", "--quiet", "enable", "rabbitmq_management"])


def _user_step(user: _User) -> Step:
    paths = (user.broker, *([user.management] if user.management else []))
    return Step(
        f"make {user.name} in RabbitMQ", lambda: credentials.are_there(paths), lambda: _make_user(user)
    )


def _make_user(user: _User) -> None:
    """Make *user* with a new password; one of that name that exists gets it too."""
    password = secrets.token_urlsafe(24)
    verb = "change_password" if user.name in _user_names() else "add_user"
    _rabbitmqctl(verb, user.name, text=password)
    if user.management:
        _rabbitmqctl("set_user_tags", user.name, "management")
    _rabbitmqctl("set_permissions", user.name, user.configure, user.write, user.read)
    credentials.keep(user.broker, f"amqp://{user.name}:{password}@127.0.0.1:5672/%2F")
    if user.management:
        credentials.keep(user.management, f"http://{user.name}:{password}@127.0.0.1:15672")


def _user_names() -> set[str]:
    listed = run(["rabbitmqctl", "--quiet", "list_users", "--formatter", "json"])
    return {user["user"] for user in json.loads(listed)}


def _rabbitmqctl(*arguments: str, text: str = "") -> None:
    run(["rabbitmqctl", "--quiet", *arguments], text=text)
