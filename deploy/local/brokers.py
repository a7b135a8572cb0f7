"""One way to a RabbitMQ: the one that OM_AMQP_URL names, else Debian's package, else a container."""

import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import click

from deploy.local.management import ManagementApi, in_virtual_host
from deploy.local.packages import can_have_rabbitmq
from deploy.local.ports import LOOPBACK, free_port
from deploy.local.process import ServerStartError
from deploy.local.rabbitmq import CREDENTIALS, LocalRabbitMQ

COMPOSE_FILE = Path(__file__).parents[2] / "docker" / "servers.yaml"


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """A broker that answers.

    Args:
        amqp_url: with credentials and virtual host.
        management_url: with credentials; empty where only OM_AMQP_URL is known.
        description: what a person is told about it.
    """

    amqp_url: str = field(repr=False)
    management_url: str = field(repr=False)
    description: str

    @property
    def management_page(self) -> str:
        """The management API's address for people: without a password."""
        parts = urlsplit(self.management_url)
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


@contextmanager
def broker(directory: Path) -> Iterator[BrokerAddress]:
    """Provide a broker for a `with` block; afterwards only what was started here is stopped.

    Args:
        directory: keeps the data of a node of our own.
    """
    if named := configured():
        yield named
        return
    own = _from_package(directory / "rabbitmq") if can_have_rabbitmq() else _in_container()
    with own as started:
        yield started


def configured() -> BrokerAddress | None:
    """Return the broker that the environment names."""
    url = os.environ.get("OM_AMQP_URL")
    if not url:
        return None
    return BrokerAddress(url, os.environ.get("OM_MANAGEMENT_URL", ""), "the RabbitMQ of OM_AMQP_URL")


@contextmanager
def own_virtual_host(address: BrokerAddress) -> Iterator[BrokerAddress]:
    """Set a virtual host apart, so that nothing already in the broker is touched or counted."""
    name = f"open-messaging-{secrets.token_hex(4)}"
    with ManagementApi(address.management_url).virtual_host(name):
        url = in_virtual_host(address.amqp_url, name)
        yield BrokerAddress(url, address.management_url, f"{address.description}, virtual host {name}")


@contextmanager
def _from_package(directory: Path) -> Iterator[BrokerAddress]:
    click.echo("Starting a RabbitMQ node")
    with LocalRabbitMQ(directory) as node:
        description = f"a RabbitMQ node of our own, data in {directory}"
        yield BrokerAddress(node.amqp_url, node.management_url, description)


@contextmanager
def _in_container() -> Iterator[BrokerAddress]:
    """Run the broker of docker/servers.yaml; its volume keeps the data."""
    amqp_port, management_port = free_port(), free_port()
    ports = {"OM_RABBITMQ_PORT": str(amqp_port), "OM_MANAGEMENT_PORT": str(management_port)}
    compose = ["docker", "compose", "--file", str(COMPOSE_FILE)]
    environment = {**os.environ, **ports}
    try:
        subprocess.run([*compose, "up", "--detach", "--wait", "rabbitmq"], env=environment, check=True)
    except (OSError, subprocess.CalledProcessError):
        raise ServerStartError(
            "A RabbitMQ is needed: name one by OM_AMQP_URL and OM_MANAGEMENT_URL, install RabbitMQ 4, "
            "or install Docker with its compose plugin"
        ) from None
    try:
        yield BrokerAddress(
            f"amqp://{CREDENTIALS}@{LOOPBACK}:{amqp_port}/%2F",
            f"http://{CREDENTIALS}@{LOOPBACK}:{management_port}",
            "a RabbitMQ in a container",
        )
    finally:
        subprocess.run([*compose, "stop", "rabbitmq"], env=environment, check=True)
