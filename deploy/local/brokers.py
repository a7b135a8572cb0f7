"""Provide a RabbitMQ broker: the one at OM_AMQP_URL, or one from Debian's package, or one in a container."""

import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import click

from deploy.local.process import LOOPBACK, ServerStartError, free_port
from deploy.local.rabbitmq import CREDENTIALS, LocalRabbitMQ, server_home
from messaging.management import ManagementApi

COMPOSE_FILE = Path(__file__).parents[2] / "docker" / "servers.yaml"
INSTALL = Path(__file__).with_name("install-packages")


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """A running broker. Its URLs contain passwords; `management_url` is empty if only OM_AMQP_URL is set."""

    amqp_url: str = field(repr=False)
    management_url: str = field(repr=False)
    description: str

    @property
    def management_page(self) -> str:
        """The management API's URL without its credentials."""
        return re.sub("//[^/]*@", "//", self.management_url)


@contextmanager
def broker(directory: Path) -> Iterator[BrokerAddress]:
    """Provide a broker with its data in *directory*; after the `with` block, stop it if started here."""
    data = directory / "rabbitmq"
    if named := named_broker():
        yield named
    elif ensure_rabbitmq():
        click.echo("Starting a RabbitMQ node")
        with LocalRabbitMQ(data) as node:
            yield BrokerAddress(node.amqp_url, node.management_url, f"a private RabbitMQ, data in {data}")
    else:
        with _in_container() as container:
            yield container


def named_broker() -> BrokerAddress | None:
    """Return the broker at OM_AMQP_URL and OM_MANAGEMENT_URL, or None if OM_AMQP_URL is not set."""
    url = os.environ.get("OM_AMQP_URL")
    return BrokerAddress(url, os.environ.get("OM_MANAGEMENT_URL", ""), "OM_AMQP_URL") if url else None


@contextmanager
def own_virtual_host(address: BrokerAddress) -> Iterator[BrokerAddress]:
    """Create a virtual host for a `with` block, so that no other data in the broker is changed or counted."""
    name = f"open-messaging-{secrets.token_hex(4)}"
    with virtual_host(address.amqp_url, address.management_url, name) as url:
        yield replace(address, amqp_url=url)


@contextmanager
def _in_container() -> Iterator[BrokerAddress]:
    """Run the RabbitMQ container of docker/servers.yaml for a `with` block. Its volume keeps the data."""
    amqp_port, management_port = free_port(), free_port()
    ports = {"OM_RABBITMQ_PORT": str(amqp_port), "OM_MANAGEMENT_PORT": str(management_port)}

    def compose(*arguments: str) -> None:
        command = ["docker", "compose", "--file", str(COMPOSE_FILE), *arguments, "rabbitmq"]
        subprocess.run(command, env={**os.environ, **ports}, check=True)

    try:
        compose("up", "--detach", "--wait")
    except (OSError, subprocess.CalledProcessError):
        raise ServerStartError(
            "RabbitMQ is needed: set OM_AMQP_URL and OM_MANAGEMENT_URL, install RabbitMQ 4, "
            "or install Docker with its compose plugin"
        ) from None
    try:
        yield BrokerAddress(
            f"amqp://{CREDENTIALS}@{LOOPBACK}:{amqp_port}/%2F",
            f"http://{CREDENTIALS}@{LOOPBACK}:{management_port}",
            "a RabbitMQ in a container",
        )
    finally:
        compose("stop")


@contextmanager
def virtual_host(amqp_url: str, management_url: str, name: str) -> Iterator[str]:
    """Create a virtual host in which the URL's user has all rights, yield its AMQP URL, then delete it."""
    vhost, everything = quote(name, safe=""), dict.fromkeys(("configure", "write", "read"), ".*")
    api = ManagementApi(management_url, timeout_seconds=5.0)
    api.send("PUT", f"vhosts/{vhost}", {"default_queue_type": "quorum"}).raise_for_status()
    permissions = f"permissions/{vhost}/{urlsplit(management_url).username}"
    api.send("PUT", permissions, everything).raise_for_status()
    try:
        yield in_virtual_host(amqp_url, name)
    finally:
        # Use a new connection: RabbitMQ might be closing the old one if it has been idle for a minute.
        api = ManagementApi(management_url, timeout_seconds=5.0)
        api.send("DELETE", f"vhosts/{vhost}").raise_for_status()


def in_virtual_host(amqp_url: str, name: str) -> str:
    """Return *amqp_url* with *name* as its virtual host."""
    return urlunsplit(urlsplit(amqp_url)._replace(path="/" + quote(name, safe="")))


def ensure_rabbitmq() -> bool:
    """Install RabbitMQ if it is missing (sudo might ask for a password); return whether it is installed."""
    if server_home() is None:
        click.echo(
            "RabbitMQ is not installed: installing Debian's package (60 MB) as root or with sudo, without "
            "starting its service. To use another broker, set OM_AMQP_URL and OM_MANAGEMENT_URL"
        )
    return ensure_package(server_home, "rabbitmq-server")


def ensure_package(find: Callable[[], Path | str | None], package: str) -> bool:
    """Try to install a Debian package if *find* returns None; return whether *find* succeeds afterwards."""
    if find() is None and shutil.which("apt-get"):
        subprocess.run(["sh", INSTALL, package], check=False)
    return find() is not None
