"""Set up RabbitMQ on this host, and create its users with minimal permissions."""

import base64
import hashlib
import json
import os
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from omctl.installing import credentials
from omctl.installing.credentials import TRUSTED, certificate_step
from omctl.installing.options import Options
from omctl.installing.steps import (
    Step,
    commands,
    is_installed,
    package_step,
    read,
    replace,
    run,
    shipped,
    succeeds,
)

PACKAGE: Final = "rabbitmq-server"
LISTENERS: Final = Path("/etc/rabbitmq/conf.d/90-open-messaging.conf")
CERTIFICATES: Final = Path("/etc/rabbitmq/open-messaging")
_LONE_URLS: Final = ("amqp://{}@{}:5672/%2F", "http://{}@{}:15672")
_CLUSTERED_URLS: Final = ("amqps://{}@{}:5671/%2F", "https://{}@{}:15671")

USERS: Final = {
    "edge": (credentials.EDGE_BROKER, credentials.EDGE_MANAGEMENT),
    "worker": (credentials.WORKER_BROKER, None),
    "owner": (credentials.OWNER_BROKER, credentials.OWNER_MANAGEMENT),
}
"""For each user in definitions.json (without the prefix open-messaging-), the files that store its URLs.

The edge has no permission to configure or read. It uses passive declares to prove that the broker has its
events, and a passive declare needs no permission (RabbitMQ 4.0).
"""


def server_steps(options: Options) -> Iterator[Step]:
    """Yield the steps that set up a broker on this host."""
    # A broker that was already installed might serve other programs, so do not change its listeners.
    is_ours = not is_installed(PACKAGE) or LISTENERS.exists()
    # A cluster's clients verify the broker's certificate, and log in with a password, not a certificate.
    name = "cluster" if options.cluster else "one-host"
    text = shipped(f"rabbitmq/{name}.conf", TRUSTED=str(TRUSTED), CERTIFICATES=str(CERTIFICATES))
    # Write a lone broker's listeners before it starts. A cluster's certificate needs the package's group.
    if options.cluster:
        yield package_step(PACKAGE)
        yield certificate_step(CERTIFICATES, "rabbitmq", PACKAGE, "rabbitmqctl eval ssl:clear_pem_cache().")
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
    """Return the step that creates the broker's users and stores their URLs as credentials."""
    return Step("create the broker's users", lambda: _has_users(options), lambda: _create_users(options))


def _write_listeners(text: str) -> None:
    replace(LISTENERS, text, mode=0o644)
    if is_installed(PACKAGE):
        run(f"systemctl try-restart {PACKAGE}")


def _has_users(options: Options) -> bool:
    """Return whether the URLs of all users are stored and, in a cluster, name all its hosts."""
    if not credentials.exist((*credentials.BROKER, *credentials.MANAGEMENT)):
        return False
    addresses = credentials.EDGE_BROKER.read_text(encoding="utf-8")
    return not options.cluster or all(f"@{host}:5671" in addresses for host in options.brokers)


def _has_guest() -> bool:
    listed = run("rabbitmqctl --quiet list_users") if is_installed(PACKAGE) else "guest"
    return any(line.split()[:1] == ["guest"] for line in listed.splitlines())


def _create_users(options: Options) -> None:
    """Create the broker's users; give existing users new passwords and the permissions that they need."""
    passwords = {user: secrets.token_urlsafe(24) for user in USERS}
    hashes = {user: _hash(password) for user, password in passwords.items()}
    definitions = json.loads(shipped("rabbitmq/definitions.json", **hashes))
    # Do not import the virtual host: the broker already has it, and its properties must not change.
    del definitions["vhosts"]
    # rabbitmqctl reads the file under the broker's account, so make the file readable by all accounts.
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        os.fchmod(file.fileno(), 0o644)
        json.dump(definitions, file)
        file.flush()
        run(f"rabbitmqctl --quiet import_definitions {file.name}")
    amqp, http = _CLUSTERED_URLS if options.cluster else _LONE_URLS
    for user, (broker, management) in USERS.items():
        login = f"open-messaging-{user}:{passwords[user]}"
        credentials.store(broker, ",".join(amqp.format(login, host) for host in options.brokers))
        if management:
            credentials.store(management, ",".join(http.format(login, host) for host in options.brokers))


def _hash(password: str) -> str:
    # Source: RabbitMQ, "Passwords", "This is the algorithm".
    salt = secrets.token_bytes(4)
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()
