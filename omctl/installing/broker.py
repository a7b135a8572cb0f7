"""Set up RabbitMQ on this host if no broker is named, with a user of minimal rights for each side."""

import base64
import hashlib
import json
import os
import secrets
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from omctl.installing import credentials
from omctl.installing.credentials import TRUSTED, certificate_step
from omctl.installing.options import Options
from omctl.installing.steps import Step, commands, is_installed, package_step, read, replace, run, succeeds

PACKAGE: Final = "rabbitmq-server"
LISTENERS: Final = Path("/etc/rabbitmq/conf.d/90-open-messaging.conf")
CERTIFICATES: Final = Path("/etc/rabbitmq/open-messaging")
_LONE: Final = """\
# Written by omctl install: the broker accepts connections from this host only.
listeners.tcp.default = 127.0.0.1:5672
management.tcp.ip = 127.0.0.1
management.tcp.port = 15672
"""
# Clients verify the broker and send a password; the broker asks for no client certificate.
_CLUSTERED: Final = f"""\
# Written by omctl install: the hosts of a cluster reach each other's brokers over TLS.
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
_LONE_URLS: Final = ("amqp://{}@{}:5672/%2F", "http://{}@{}:15672")
_CLUSTERED_URLS: Final = ("amqps://{}@{}:5671/%2F", "https://{}@{}:15671")


@dataclass(frozen=True, slots=True)
class BrokerUser:
    """A user, its rights as patterns of names, and the credential files that hold its addresses."""

    name: str
    configure: str
    write: str
    read: str
    broker: Path
    management: Path | None = None


RIGHTS: Final = ("configure", "write", "read")
USERS: Final = (
    # The edge proves events by passive declares, which need no right at all (RabbitMQ 4.0).
    BrokerUser(
        "open-messaging-edge", "^$", r"^open-messaging$", "^$",
        credentials.EDGE_BROKER, credentials.EDGE_MANAGEMENT,
    ),
    BrokerUser(
        "open-messaging-worker", "^$", r"^open-messaging(\..*)?$", r"^open-messaging\..*$",
        credentials.WORKER_BROKER,
    ),
    BrokerUser(
        "open-messaging-owner", r"^open-messaging(\..*)?$", r"^open-messaging(\..*)?$",
        r"^open-messaging(\..*)?$", credentials.OWNER_BROKER, credentials.OWNER_MANAGEMENT,
    ),
)  # fmt: skip


def server_steps(options: Options) -> Iterator[Step]:
    """Yield the steps that set up a broker on this host."""
    # An existing broker may serve others: its listeners stay as they are.
    is_ours = not is_installed(PACKAGE) or LISTENERS.exists()
    text = _CLUSTERED if options.cluster else _LONE
    # Write a lone broker's listeners before its first start. A cluster's key needs the package's account.
    if options.cluster:
        yield package_step(PACKAGE)
        yield certificate_step(CERTIFICATES, "rabbitmq", "rabbitmqctl eval ssl:clear_pem_cache().")
    if is_ours:
        yield Step(f"write {LISTENERS}", lambda: read(LISTENERS) == text, lambda: _write_listeners(text))
    yield package_step(PACKAGE)
    yield Step(
        "enable RabbitMQ's management plugin",
        lambda: succeeds("rabbitmq-plugins --quiet is_enabled rabbitmq_management"),
        commands("rabbitmq-plugins --quiet enable rabbitmq_management"),
    )
    if is_ours:
        delete = commands("rabbitmqctl --quiet delete_user guest")
        yield Step("delete RabbitMQ's user guest, an administrator", lambda: not _has_guest(), delete)


def users_step(options: Options) -> Step:
    """Return the step that creates the users and stores their addresses."""
    return Step("create the broker's users", lambda: _has_users(options), lambda: _create_users(options))


def _write_listeners(text: str) -> None:
    replace(LISTENERS, text, mode=0o644)
    if is_installed(PACKAGE):
        run(f"systemctl try-restart {PACKAGE}")


def _has_users(options: Options) -> bool:
    """Return whether all addresses are stored and name each host of the cluster."""
    if not credentials.exist((*credentials.BROKER, *credentials.MANAGEMENT)):
        return False
    addresses = credentials.EDGE_BROKER.read_text(encoding="utf-8")
    return all(f"@{host}:5671" in addresses for host in options.cluster)


def _has_guest() -> bool:
    listed = run("rabbitmqctl --quiet list_users") if is_installed(PACKAGE) else "guest"
    return any(line.split()[:1] == ["guest"] for line in listed.splitlines())


def _create_users(options: Options) -> None:
    """Create the users, or give existing ones new passwords and the rights that they need."""
    passwords = {user.name: secrets.token_urlsafe(24) for user in USERS}
    definitions = {
        "users": [_user_definition(user, passwords[user.name]) for user in USERS],
        "permissions": [
            {"user": user.name, "vhost": "/"} | {right: getattr(user, right) for right in RIGHTS}
            for user in USERS
        ],
    }
    # The broker's own account must be able to read the file.
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        os.fchmod(file.fileno(), 0o644)
        json.dump(definitions, file)
        file.flush()
        run(f"rabbitmqctl --quiet import_definitions {file.name}")
    amqp, http = _CLUSTERED_URLS if options.cluster else _LONE_URLS
    for user in USERS:
        login = f"{user.name}:{passwords[user.name]}"
        credentials.store(user.broker, ",".join(amqp.format(login, host) for host in options.brokers))
        if user.management:
            urls = (http.format(login, host) for host in options.brokers)
            credentials.store(user.management, ",".join(urls))


def _user_definition(user: BrokerUser, password: str) -> dict[str, object]:
    # Source: RabbitMQ, "Passwords", "This is the algorithm".
    salt = secrets.token_bytes(4)
    hashed = base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()
    algorithm = "rabbit_password_hashing_sha256"
    tags = ["management"] if user.management else []
    return {"name": user.name, "password_hash": hashed, "hashing_algorithm": algorithm, "tags": tags}
