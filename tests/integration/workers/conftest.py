import copy
import itertools
import json
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pika
import pytest
from sqlalchemy import text

from messaging.clock import SystemClock
from messaging.consuming import Delivery
from messaging.envelope import Envelope
from messaging.topology import EVENTS_QUEUE
from simulator.platform import Organisation, create_platform
from simulator.serving import serving_app
from tests.integration.workers.test_consumer import running
from tests.services import declare_topology
from workers.intake import Intake, own_handlers
from workers.tables import engine_of

PAYLOADS = Path(__file__).parents[2] / "payloads"
CLIENT_SECRET = "constructed-client-secret"
REQUESTS_PER_MINUTE = 6000
START = datetime(2024, 5, 15, 14, 32, 10, tzinfo=UTC)


@pytest.fixture
def engine(migrated_url):
    engine = engine_of(migrated_url)
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
    return {event_type: (handler,) for event_type, handler in own_handlers().items()}


@pytest.fixture
def intake(engine, handlers):
    """Process deliveries with the shipped handlers; returns the tags to dead-letter."""
    return processor(engine, handlers)


def processor(engine, handlers):
    """Return what processes deliveries to the end, without the pauses; it returns the tags to dead-letter."""
    worker = Intake(engine, handlers, SystemClock())

    def process(*deliveries):
        verdict = worker.process(deliveries)
        rejected = set(verdict.rejected)
        for each in deliveries:
            if each.tag in verdict.put_off:
                rejected |= process(replace(each, tries=each.tries + 1))
        return rejected

    return process


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
    with serving_app(create_platform(organisation)) as url:
        yield url


TAGS = itertools.count(1)


def deliver(payload, *, attempt=1, message_id=None, request_id="r", queue=EVENTS_QUEUE):
    """Make a delivery of a payload or of raw bytes."""
    tag = next(TAGS)
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    envelope = Envelope(message_id or f"request-{tag}", time.time_ns() // 1000, request_id, "webhook", body)
    return Delivery(tag, queue, attempt, envelope)


def payload_of(name):
    return json.loads((PAYLOADS / f"{name}.json").read_text())


def event(kind, *, conversation="c-1", after_ms=0, **fields):
    """Make an event of the guide's dialect, some milliseconds after the start."""
    moment = (START + timedelta(milliseconds=after_ms)).isoformat(timespec="milliseconds")
    return {
        "eventType": f"openmessaging:conversation:{kind}",
        "conversationId": conversation,
        "timestamp": moment,
        **fields,
    }


def said(words, *, sequence=None, **others):
    return event("message", message={"text": words}, sequence=sequence, **others)


def routed(status, **others):
    return event("updated", routing={"status": f"CONTACT-{status}", "queueId": "queue-1"}, **others)


def native(number, *, conversation="c-1", after_s=0.0, kind="genesys/text", **changes):
    """Make a native event of the present, so many seconds after it."""
    payload = copy.deepcopy(payload_of(kind))
    moment = time.time() + after_s
    at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment)) + f".{number % 1000:03d}Z"
    payload |= {"id": f"m-{number}", "conversationId": conversation, **changes}
    payload["channel"] |= {"time": at, "messageId": f"m-{number}"}
    return payload
