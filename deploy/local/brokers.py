"""Find a RabbitMQ for a first run, or start one.

The order is: the one that OM_AMQP_URL names; one that answers on localhost with RabbitMQ's own
default user; one from Docker Compose; a private node from Debian's package.
"""

import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import click

from deploy.local import containers
from deploy.local.management import ManagementApi, in_virtual_host
from deploy.local.packages import ensure_rabbitmq
from deploy.local.ports import LOOPBACK, answers, free_port, is_free
from deploy.local.rabbitmq import CREDENTIALS, PrivateRabbitMQ

COMPOSE_FILE = Path(__file__).parents[2] / "docker" / "compose.yaml"
AMQP_PORT = 5672
MANAGEMENT_PORT = 15672


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
        return urlunsplit(urlsplit(self.management_url)._replace(netloc=self._management_host))

    @property
    def _management_host(self) -> str:
        return urlsplit(self.management_url).netloc.rpartition("@")[2]

    def with_virtual_host(self, name: str) -> "BrokerAddress":
        """Return the same broker seen through another virtual host."""
        description = f"{self.description}, virtual host {name}"
        return BrokerAddress(in_virtual_host(self.amqp_url, name), self.management_url, description)


@contextmanager
def broker(var: Path) -> Iterator[BrokerAddress]:
    """Provide a broker for a `with` block; afterwards only what was started here is stopped.

    Args:
        var: keeps the data of a private node.
    """
    address = configured() or on_localhost()
    if address:
        yield address
        return
    with ExitStack() as started:
        yield _from_compose(started, var) or started.enter_context(private_broker(var / "rabbitmq"))


def _from_compose(started: ExitStack, var: Path) -> BrokerAddress | None:
    if not has_compose_broker(var):
        return None
    try:
        return started.enter_context(compose_broker("open-messaging"))
    except subprocess.CalledProcessError:
        click.echo("Docker Compose could not start RabbitMQ; going on without it", err=True)
        return None


@contextmanager
def own_virtual_host(address: BrokerAddress) -> Iterator[BrokerAddress]:
    """Set a virtual host apart, so that nothing already in the broker is touched or counted."""
    if not address.management_url:
        yield address
        return
    name = f"open-messaging-{secrets.token_hex(4)}"
    with ManagementApi(address.management_url).virtual_host(name):
        yield address.with_virtual_host(name)


def configured() -> BrokerAddress | None:
    """Return the broker that the environment names."""
    url = os.environ.get("OM_AMQP_URL")
    if not url:
        return None
    return BrokerAddress(url, os.environ.get("OM_MANAGEMENT_URL", ""), "the RabbitMQ of OM_AMQP_URL")


def on_localhost() -> BrokerAddress | None:
    """Return a broker on the standard ports, where it takes the default user."""
    address = _at(AMQP_PORT, MANAGEMENT_PORT, "the RabbitMQ that was already running on localhost")
    if answers(AMQP_PORT) and ManagementApi(address.management_url).answers():
        return address
    return None


def has_compose_broker(var: Path) -> bool:
    """Tell whether Docker Compose could run the broker; asks its registry at most once an hour."""
    return (
        containers.engine_answers()
        and containers.has_compose()
        and containers.can_have(containers.RABBITMQ_IMAGE, memory=var)
    )


@contextmanager
def compose_broker(project: str) -> Iterator[BrokerAddress]:
    """Run the broker of docker/compose.yaml; its volume keeps the data."""
    amqp_port = AMQP_PORT if is_free(AMQP_PORT) else free_port()
    management_port = MANAGEMENT_PORT if is_free(MANAGEMENT_PORT) else free_port()
    ports = {"OM_RABBITMQ_PORT": str(amqp_port), "OM_MANAGEMENT_PORT": str(management_port)}
    compose = ["docker", "compose", "--file", str(COMPOSE_FILE), "--project-name", project]
    environment = {**os.environ, **ports}
    subprocess.run([*compose, "up", "--detach", "--wait", "rabbitmq"], env=environment, check=True)
    try:
        yield _at(amqp_port, management_port, "RabbitMQ from Docker Compose")
    finally:
        subprocess.run([*compose, "stop", "rabbitmq"], env=environment, check=True)


@contextmanager
def private_broker(directory: Path) -> Iterator[BrokerAddress]:
    """Run a private node, with Debian's package installed first where it is missing."""
    ensure_rabbitmq()
    click.echo("Starting a RabbitMQ node")
    with PrivateRabbitMQ(directory) as node:
        description = f"a RabbitMQ node of our own, data in {directory}"
        yield BrokerAddress(node.amqp_url, node.management_url, description)


def _at(amqp_port: int, management_port: int, description: str) -> BrokerAddress:
    amqp_url = f"amqp://{CREDENTIALS}@{LOOPBACK}:{amqp_port}/%2F"
    return BrokerAddress(amqp_url, f"http://{CREDENTIALS}@{LOOPBACK}:{management_port}", description)
