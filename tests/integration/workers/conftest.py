"""Fixtures of the workers' tests: a database, intake on it, a broker, the simulated platform."""

from contextlib import contextmanager

import pika
import pytest
from sqlalchemy import text

from messaging.clock import SystemClock
from simulator.platform import Organisation, create_platform
from simulator.serving import serve_app
from tests.integration.workers.consuming import processor, running
from tests.services import declare_topology
from workers.db.engine import make_engine
from workers.intake import Intake
from workers.intake.handler_table import OWN_HANDLERS

CLIENT_SECRET = "constructed-client-secret"
REQUESTS_PER_MINUTE = 6000
ON_POSTGRESQL = pytest.mark.parametrize("migrated_url", ["postgresql"], indirect=True)
ON_SQLITE = pytest.mark.parametrize("migrated_url", ["sqlite"], indirect=True)


@pytest.fixture
def engine(migrated_url):
    engine = make_engine(migrated_url)
    yield engine
    engine.dispose()


@pytest.fixture
def query(engine):
    """Run a query in a transaction of its own and return its rows."""

    def run(sql, **parameters):
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(sql), parameters)]

    return run


@pytest.fixture
def handlers():
    return dict(OWN_HANDLERS)


@pytest.fixture
def intake(engine, handlers):
    """Process deliveries with the shipped handlers and return the tags to dead-letter."""
    return processor(engine, handlers)


@pytest.fixture
def channel(vhost):
    declare_topology(vhost.amqp_url)
    with pika.BlockingConnection(pika.URLParameters(vhost.amqp_url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        yield channel


@pytest.fixture
def working(vhost, engine, handlers):
    """Run intake."""

    @contextmanager
    def run(**options):
        intake = Intake(engine, options.pop("handlers", handlers), SystemClock(), **options)
        with running(vhost.amqp_url, intake, batch_events=100):
            yield

    return run


@pytest.fixture
def organisation():
    return Organisation("client", CLIENT_SECRET, requests_per_minute=REQUESTS_PER_MINUTE)


@pytest.fixture
def platform_url(organisation):
    with serve_app(create_platform(organisation)) as url:
        yield url
