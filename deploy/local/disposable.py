"""A RabbitMQ and a PostgreSQL for the tests, thrown away afterwards."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from testcontainers.community.postgres import PostgresContainer
from testcontainers.community.rabbitmq import RabbitMqContainer

from deploy.local import containers
from deploy.local.containers import POSTGRESQL_IMAGE, RABBITMQ_IMAGE
from deploy.local.management import ManagementApi
from deploy.local.packages import ensure_postgresql, ensure_rabbitmq
from deploy.local.postgresql import PrivatePostgreSQL
from deploy.local.process import ServerStartError
from deploy.local.rabbitmq import CREDENTIALS, PrivateRabbitMQ

CONTAINER_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the tests find their servers, and what they are."""

    amqp_url: str = field(repr=False)
    management_url: str = field(repr=False)
    postgresql_url: str = field(repr=False)
    description: str

    def environment(self) -> dict[str, str]:
        """Return the variables that the tests' fixtures read."""
        return {
            "OM_TEST_AMQP_URL": self.amqp_url,
            "OM_TEST_MANAGEMENT_URL": self.management_url,
            "OM_TEST_POSTGRES_URL": self.postgresql_url,
        }


@contextmanager
def servers(directory: Path, *, memory: Path) -> Iterator[Servers]:
    """Run both servers: as containers where Docker can have their images, else as private ones.

    Args:
        directory: for the private servers' data; whoever made it removes it.
        memory: keeps what was found out about images.
    """
    images = (RABBITMQ_IMAGE, POSTGRESQL_IMAGE)
    in_docker = containers.engine_answers() and all(
        containers.can_have(image, memory=memory) for image in images
    )
    with _in_containers() if in_docker else _private(directory) as started:
        yield started


@contextmanager
def _in_containers() -> Iterator[Servers]:
    with ExitStack() as stack:
        broker = RabbitMqContainer(RABBITMQ_IMAGE).with_exposed_ports(15672)
        stack.enter_context(broker)
        database = stack.enter_context(PostgresContainer(POSTGRESQL_IMAGE, driver="psycopg"))
        host = broker.get_container_host_ip()
        management_url = f"http://{CREDENTIALS}@{host}:{broker.get_exposed_port(15672)}"
        _wait_for_management(management_url)
        amqp_url = f"amqp://{CREDENTIALS}@{host}:{broker.get_exposed_port(5672)}/%2F"
        yield Servers(amqp_url, management_url, database.get_connection_url(), "containers")


def _wait_for_management(url: str) -> None:
    """Wait for what testcontainers does not: it is content when AMQP answers."""
    deadline = time.monotonic() + CONTAINER_SECONDS
    while not ManagementApi(url).answers():
        if time.monotonic() > deadline:
            raise ServerStartError("The management API of the RabbitMQ container does not answer")
        time.sleep(0.2)


@contextmanager
def _private(directory: Path) -> Iterator[Servers]:
    """Run servers from Debian's packages; both come up at the same time."""
    ensure_rabbitmq()
    ensure_postgresql()
    broker = PrivateRabbitMQ(directory / "rabbitmq")
    database = PrivatePostgreSQL(directory / "postgresql", durable=False)
    with ExitStack() as stack:
        stack.callback(broker.stop)
        broker.launch()
        stack.callback(database.stop)
        database.start()
        broker.wait_ready()
        yield Servers(
            broker.amqp_url, broker.management_url, database.url(), "private servers from Debian's packages"
        )
