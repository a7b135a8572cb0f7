"""Run a RabbitMQ and a PostgreSQL server for one test run, and delete them afterwards."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import requests

from deploy.local.brokers import ensure_package, ensure_rabbitmq
from deploy.local.process import LOOPBACK, ServerStartError
from deploy.local.rabbitmq import CREDENTIALS
from tests.servers.postgresql import PrivatePostgreSQL, programs
from tests.servers.rabbitmq import PrivateRabbitMQ

RABBITMQ_IMAGE = "rabbitmq:4.0-management"
POSTGRESQL_IMAGE = "postgres:17"
IN_CONTAINERS = "containers"
CONTAINER_SECONDS = 60.0
ENGINE_SECONDS = 5.0
MEMORY = Path("/dev/shm")  # noqa: S108  # the servers get a new directory in it
# The space that both servers need for their data while several tests use databases at the same time.
ROOM_BYTES = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Servers:
    """The addresses of the tests' servers, and a description for the output."""

    amqp_url: str = field(repr=False)
    management_url: str = field(repr=False)
    postgresql_url: str = field(repr=False)
    description: str

    def environment(self) -> dict[str, str]:
        return {
            "OM_TEST_AMQP_URL": self.amqp_url,
            "OM_TEST_MANAGEMENT_URL": self.management_url,
            "OM_TEST_POSTGRES_URL": self.postgresql_url,
        }


@contextmanager
def servers() -> Iterator[Servers]:
    """Run both servers in containers if their images are present, otherwise from the machine's packages.

    If the images are missing and the packages cannot be installed, fetch the images.
    """
    is_private = (
        not has_images(RABBITMQ_IMAGE, POSTGRESQL_IMAGE)
        and ensure_rabbitmq()
        and ensure_package(programs, "postgresql")
    )
    with _private() if is_private else _in_containers() as started:
        yield started


def has_images(*images: str) -> bool:
    """Return whether a container engine answers and has these images; this takes at most five seconds."""
    command = ("docker", "image", "inspect", *images)
    try:
        found = subprocess.run(command, capture_output=True, timeout=ENGINE_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return found.returncode == 0


@contextmanager
def _private() -> Iterator[Servers]:
    """Run both servers from Debian's packages, and start them at the same time."""
    with ExitStack() as stack:
        place = TemporaryDirectory(prefix="open-messaging-tests-", dir=in_memory())
        directory = Path(stack.enter_context(place))
        broker = PrivateRabbitMQ(directory / "rabbitmq")
        database = PrivatePostgreSQL(directory / "postgresql", durable=False)
        stack.callback(broker.stop)
        broker.launch()
        stack.callback(database.stop)
        database.start()
        broker.wait_ready()
        yield Servers(
            broker.amqp_url, broker.management_url, database.url(), "private servers from Debian's packages"
        )


def in_memory() -> Path | None:
    """Return a directory in memory if it is large enough: databases on disk cost three times the CPU time."""
    try:
        has_room = shutil.disk_usage(MEMORY).free > ROOM_BYTES and os.access(MEMORY, os.W_OK)
    except OSError:
        return None
    return MEMORY if has_room else None


@contextmanager
def _in_containers() -> Iterator[Servers]:
    # Import testcontainers only here: the import is slow, and most machines run the tests without containers.
    from testcontainers.community.postgres import PostgresContainer  # noqa: PLC0415
    from testcontainers.community.rabbitmq import RabbitMqContainer  # noqa: PLC0415
    from testcontainers.core.config import testcontainers_config  # noqa: PLC0415

    if not has_images(testcontainers_config.ryuk_image):
        # Without Ryuk, the containers are removed only after a normal exit; a killed run leaves them behind.
        testcontainers_config.ryuk_disabled = True
    with ExitStack() as stack:
        broker = RabbitMqContainer(RABBITMQ_IMAGE).with_exposed_ports(15672)
        database = PostgresContainer(POSTGRESQL_IMAGE, driver="psycopg")
        # Tests log in as roles without a password, as the private server allows.
        database.with_env("POSTGRES_HOST_AUTH_METHOD", "trust")
        for container in (broker, database):
            # By default, other hosts could reach the servers, whose passwords are known.
            container.ports = dict.fromkeys(container.ports, (LOOPBACK, None))
            stack.enter_context(container)
        host = broker.get_container_host_ip()
        management_url = f"http://{CREDENTIALS}@{host}:{broker.get_exposed_port(15672)}"
        _wait_for_management(management_url)
        amqp_url = f"amqp://{CREDENTIALS}@{host}:{broker.get_exposed_port(5672)}/%2F"
        yield Servers(amqp_url, management_url, database.get_connection_url(), IN_CONTAINERS)


def _wait_for_management(url: str) -> None:
    """Wait for the management API, since testcontainers waits only for AMQP."""
    deadline = time.monotonic() + CONTAINER_SECONDS
    while not _has_virtual_hosts(url):
        if time.monotonic() > deadline:
            raise ServerStartError("The management API of the RabbitMQ container does not answer")
        time.sleep(0.2)


def _has_virtual_hosts(url: str) -> bool:
    try:
        return requests.get(f"{url}/api/health/checks/virtual-hosts", timeout=5.0).ok
    except requests.RequestException:
        return False
