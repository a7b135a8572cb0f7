"""Fixtures for the workers' tests: a database with intake, a broker and the simulated platform."""

import os
import time
from contextlib import contextmanager

import pika
import pytest
from sqlalchemy import text

from messaging.clock import SystemClock
from simulator.platform import Organisation, create_platform
from simulator.serving import serve_app
from tests.chaos.own_clock import OwnClock
from tests.integration.workers.consuming import processor, running
from tests.services import declare_topology
from workers.db.engine import make_engine
from workers.handlers import OWN_HANDLERS
from workers.intake import Intake

CLIENT_SECRET = "constructed-client-secret"
REQUESTS_PER_MINUTE = 6000
MAX_WAIT_BY_THE_CLOCK = 21.0
"""The limit in seconds on the machine's clock: ten times two seconds, plus one, as in `make chaos`."""
ON_POSTGRESQL = pytest.mark.parametrize("migrated_url", ["postgresql"], indirect=True)
ON_SQLITE = pytest.mark.parametrize("migrated_url", ["sqlite"], indirect=True)


@pytest.fixture
def engine(migrated_url):
    engine = make_engine(migrated_url)
    yield engine
    engine.dispose()


@pytest.fixture
def query(engine):
    """Return a function that runs a query in its own transaction and returns the rows."""

    def run(sql, **parameters):
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(sql), parameters)]

    return run


@pytest.fixture
def longest_wait(query):
    """Return a function that returns the longest time in seconds from an event's arrival to its effect.

    Up to a limit, time that a thread of this process spent waiting for a processor does not count.
    """
    clock = OwnClock(lambda: [os.getpid()])

    def longest():
        moments = query("SELECT received_at, processed_at FROM processed_events")
        offset = time.time() - time.monotonic()
        # This limit keeps a product that starves its own threads from passing.
        assert max((end - begin).total_seconds() for begin, end in moments) < MAX_WAIT_BY_THE_CLOCK
        return max(
            clock.at(end.timestamp() - offset) - clock.at(begin.timestamp() - offset)
            for begin, end in moments
        )

    yield longest
    clock.close()


@pytest.fixture
def handlers():
    return dict(OWN_HANDLERS)


@pytest.fixture
def intake(engine, handlers):
    """Return a function that processes deliveries with the shipped handlers and returns the rejected tags."""
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
    """Return a context manager that keeps intake consuming the queue."""

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
