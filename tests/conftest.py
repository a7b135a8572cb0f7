"""Fixtures that more than one kind of test uses: real servers, and databases in them."""

import os

import hypothesis
import pytest

from tests import servers

# A deadline for an example is a timed assert: on a busy machine it fails for no fault of the code.
hypothesis.settings.register_profile("ci", deadline=None, max_examples=200)
hypothesis.settings.register_profile("nightly", deadline=None, max_examples=10_000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory):
    """A RabbitMQ for the whole session; `make_vhost()` gives a test its own part of it."""
    with servers.shared_broker(tmp_path_factory.mktemp("rabbitmq")) as broker:
        yield broker


@pytest.fixture
def vhost(rabbitmq):
    """An empty virtual host: `vhost.amqp_url`, `vhost.name`."""
    with rabbitmq.make_vhost() as virtual_host:
        yield virtual_host


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory):
    """A PostgreSQL for the whole session; `make_database()` gives a test a database in it."""
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
    """The address of an empty database, once of each kind."""
    name = {"sqlite": "sqlite_url", "postgresql": "postgres_url"}[request.param]
    return request.getfixturevalue(name)
