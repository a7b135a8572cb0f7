"""Real servers that several tests share, each test in its own virtual host or database."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest

from deploy.local.brokers import ensure_package, virtual_host
from deploy.local.rabbitmq import server_home
from tests.servers.packages import chromium
from tests.servers.postgresql import PrivatePostgreSQL, programs
from tests.servers.rabbitmq import PrivateRabbitMQ


class VirtualHost(NamedTuple):
    """A test's own virtual host in the shared broker."""

    amqp_url: str
    name: str


@dataclass(frozen=True)
class Broker:
    """A RabbitMQ that several tests share, each in its own virtual host."""

    amqp_url: str
    management_url: str

    @contextmanager
    def make_vhost(self) -> Iterator[VirtualHost]:
        """Create an empty virtual host, and delete it with its content afterwards."""
        name = f"test-{secrets.token_hex(4)}"
        with virtual_host(self.amqp_url, self.management_url, name) as url:
            yield VirtualHost(url, name)


@dataclass(frozen=True)
class PostgreSQL:
    """A PostgreSQL that several tests share, each in its own database."""

    url: str

    @contextmanager
    def make_database(self, *, like: str | None = None) -> Iterator[str]:
        """Create a database, as a copy of *like* if given; drop it even if a test left connections open."""
        name = f"test_{secrets.token_hex(4)}"
        # Copying the files costs half as much as the default strategy, which logs every page.
        copied = f'TEMPLATE "{like.rpartition("/")[2]}" STRATEGY FILE_COPY' if like else ""
        self._execute(f'CREATE DATABASE "{name}" {copied}')
        yield f"{self.url.rpartition('/')[0]}/{name}"
        self._execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    def _execute(self, statement: str) -> None:
        with psycopg.connect(self.url.replace("+psycopg", "", 1), autocommit=True) as connection:
            connection.execute(statement.encode())


@contextmanager
def shared_broker(directory: Path) -> Iterator[Broker]:
    """Use the broker that `make test` started, or start a private one."""
    if url := os.environ.get("OM_TEST_AMQP_URL"):
        yield Broker(url, os.environ["OM_TEST_MANAGEMENT_URL"])
        return
    require_rabbitmq()
    with PrivateRabbitMQ(directory) as node:
        yield Broker(node.amqp_url, node.management_url)


@contextmanager
def shared_postgresql(directory: Path) -> Iterator[PostgreSQL]:
    """Use the server that `make test` started, or start a private one."""
    if url := os.environ.get("OM_TEST_POSTGRES_URL"):
        yield PostgreSQL(url)
        return
    require_postgresql()
    with PrivatePostgreSQL(directory, durable=False) as server:
        yield PostgreSQL(server.url())


def require_rabbitmq() -> None:
    """If RabbitMQ is missing, skip the test on a laptop and fail it in CI."""
    _require("RabbitMQ", is_installed=server_home() is not None)


def require_postgresql() -> None:
    """If PostgreSQL is missing, skip the test on a laptop and fail it in CI."""
    _require("PostgreSQL", is_installed=programs() is not None)


def require_chromium() -> str:
    """Return the browser's path, installing it if needed; if that fails, skip the test or, in CI, fail it."""
    _require("Chromium", is_installed=ensure_package(chromium, "chromium"))
    return str(chromium())


def _require(server: str, *, is_installed: bool) -> None:
    if is_installed:
        return
    message = f"{server} is not installed; `make test` installs it"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)
