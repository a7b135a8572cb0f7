"""Fixtures that several suites share: real servers, databases on them, and an event loop."""

import asyncio
import os
import shutil

import hypothesis
import pytest

from tests import servers
from workers.db.migrations import schema

# Hypothesis examples have no deadline, because correct code could miss a deadline on a busy machine.
hypothesis.settings.register_profile("ci", deadline=None, max_examples=100)
# A few examples are enough to show whether a different Python version breaks the code.
hypothesis.settings.register_profile("brief", deadline=None, max_examples=20)
hypothesis.settings.register_profile("nightly", deadline=None, max_examples=10_000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_configure(config):
    # Python 3.13 warns when it collects a connection to SQLite that a test's engine has left open.
    config.addinivalue_line("filterwarnings", "ignore:unclosed database in:ResourceWarning")


@pytest.fixture
def loop():
    """An event loop that is not running yet."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory):
    """A RabbitMQ server for the whole session; `make_vhost()` gives a test its own virtual host."""
    with servers.shared_broker(tmp_path_factory.mktemp("rabbitmq")) as broker:
        yield broker


@pytest.fixture
def vhost(rabbitmq):
    """An empty virtual host: `vhost.amqp_url`, `vhost.name`."""
    with rabbitmq.make_vhost() as virtual_host:
        yield virtual_host


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory):
    """A PostgreSQL server for the whole session; `make_database()` gives a test its own database."""
    with servers.shared_postgresql(tmp_path_factory.mktemp("postgresql")) as server:
        yield server


@pytest.fixture
def postgres_url(postgresql):
    """The address of an empty PostgreSQL database."""
    with postgresql.make_database() as url:
        yield url


@pytest.fixture
def sqlite_url(tmp_path):
    """The address of an SQLite database that does not exist yet."""
    return f"sqlite:///{tmp_path / 'test.sqlite3'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request):
    """The address of an empty database; the test runs with SQLite and with PostgreSQL."""
    name = {"sqlite": "sqlite_url", "postgresql": "postgres_url"}[request.param]
    return request.getfixturevalue(name)


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory):
    """An SQLite file with all tables, which tests copy."""
    path = tmp_path_factory.mktemp("migrated") / "template.sqlite3"
    schema.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def migrated_postgresql(postgresql):
    """A PostgreSQL database with all tables, which tests copy: a migration takes ten times as long."""
    with postgresql.make_database() as url:
        schema.upgrade(url)
        yield url


@pytest.fixture
def migrated_sqlite_url(sqlite_url, migrated_sqlite):
    """The address of an SQLite database with all tables."""
    shutil.copyfile(migrated_sqlite, sqlite_url.removeprefix("sqlite:///"))
    return sqlite_url


@pytest.fixture
def migrated_postgres_url(postgresql, migrated_postgresql):
    """The address of a PostgreSQL database with all tables."""
    with postgresql.make_database(like=migrated_postgresql) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def migrated_url(request):
    """The address of a database with all tables; the test runs with SQLite and with PostgreSQL."""
    name = {"sqlite": "migrated_sqlite_url", "postgresql": "migrated_postgres_url"}[request.param]
    return request.getfixturevalue(name)
