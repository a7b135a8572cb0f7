"""Our own event, from TLS to its row: each stage that stops is named, with real servers and processes."""

import re
import signal
import time
from contextlib import nullcontext

import pytest
import requests
import sqlalchemy as sa

from tests.gateway import Gateway
from tests.servers import LOOPBACK, ensure_nginx
from tests.servers.postgresql import PrivatePostgreSQL
from tests.servers.rabbitmq import PrivateRabbitMQ
from tests.services import SECRET, WEBHOOK_PATH, Edge, IntakeWorker, Service, declare_topology, post, running
from workers.db.canary import Canary
from workers.db.engine import make_engine
from workers.db.migrations import schema
from workers.observe import CanarySettings, ObserveSettings, open_probes
from workers.observe.canary import CanaryStoppedError, find_stage
from workers.observe.canary import post as post_canary
from workers.observe.status import overview

pytestmark = pytest.mark.timeout(300)

NAMED_SECONDS = 30.0
"""With one second instead of a minute between two canaries: well below 90 s with the minute."""


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """Run the whole service behind its gateway; return its parts by name."""
    ensure_nginx()
    directory = tmp_path_factory.mktemp("service")
    broker = PrivateRabbitMQ(tmp_path_factory.mktemp("broker"))
    broker.start()
    try:
        declare_topology(broker.amqp_url)
        with PrivatePostgreSQL(tmp_path_factory.mktemp("database"), durable=False) as database:
            url = database.create_database("events")
            schema.upgrade(url)
            service = Service(directory, broker.amqp_url)
            edge = Edge(service)
            gateway = Gateway(tmp_path_factory.mktemp("gateway"), f"{LOOPBACK}:{edge.port}")
            worker = IntakeWorker(service, url)
            database.address = url
            with running(edge), running(gateway), running(worker):
                edge.start()
                gateway.start()
                worker.start()
                yield {
                    "broker": broker,
                    "database": database,
                    "edge": edge,
                    "gateway": gateway,
                    "intake": worker,
                }
    finally:
        broker.stop()


@pytest.fixture(autouse=True)
def trust(parts, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(parts["gateway"].certificate))


@pytest.fixture(scope="module")
def sender(parts):
    """Send a canary each second, with the probes of om-observe."""
    patch = pytest.MonkeyPatch()
    patch.setenv("REQUESTS_CA_BUNDLE", str(parts["gateway"].certificate))
    patch.setattr(overview, "CANARY_SECONDS", 1.0)
    settings = ObserveSettings(
        database_url=parts["database"].address,
        amqp_urls=(parts["broker"].amqp_url,),
        edge=f"{LOOPBACK}:{parts['edge'].port}",
        canary=to(parts["gateway"].url + WEBHOOK_PATH),
    )
    engine = make_engine(settings.database_url)
    yield open_probes(settings, engine, None).canary
    patch.undo()


def to(url, secret=SECRET):
    return CanarySettings(url, secret.encode(), {})


def wait_for(sender, stage):
    deadline = time.monotonic() + NAMED_SECONDS
    while find_stage(found := sender.read(0.0)) != stage or found.value is None:
        assert time.monotonic() < deadline, f"{found.problem}, and not {stage}"
        time.sleep(0.1)


def end(process):
    process.end(signal.SIGTERM, timeout=30.0)


FAULTS = {
    "a stopped gateway": ("gateway", end, lambda gateway: gateway.start()),
    "a stopped edge": ("edge", end, lambda edge: edge.start()),
    "a stopped broker": ("broker", PrivateRabbitMQ.stop, PrivateRabbitMQ.start),
    "a frozen broker": ("broker", PrivateRabbitMQ.freeze, PrivateRabbitMQ.resume),
    "a stopped worker": ("intake", end, lambda worker: worker.start()),
    "a stopped database": ("database", PrivatePostgreSQL.stop, PrivatePostgreSQL.start),
    "a frozen database": ("database", PrivatePostgreSQL.freeze, PrivatePostgreSQL.resume),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_stage_that_stops_is_named_and_recovers(parts, sender, fault):
    stage, stop, start = FAULTS[fault]
    wait_for(sender, None)
    stop(parts[stage])
    try:
        wait_for(sender, stage)
    finally:
        start(parts[stage])
    wait_for(sender, None)


@pytest.mark.parametrize(
    ("change", "stage"),
    [
        (lambda url: to(url.replace(LOOPBACK, "nowhere.invalid")), "dns"),
        (lambda url: to(url.replace(LOOPBACK, "localhost")), "certificate"),
        (lambda url: to(url.replace(WEBHOOK_PATH, "/elsewhere")), "gateway"),
        (lambda url: to(url, "another-secret-0123456789"), "edge"),
        (to, None),
    ],
)
def test_what_the_request_meets_is_named(parts, change, stage):
    settings = change(parts["gateway"].url + WEBHOOK_PATH)
    with pytest.raises(CanaryStoppedError, match=rf"^{stage}: ") if stage else nullcontext():
        post_canary(settings, Canary("vm", time.time_ns() // 1000))


def test_an_authority_that_is_not_trusted_is_named(parts, monkeypatch):
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")

    with pytest.raises(CanaryStoppedError, match=r"^certificate: "):
        post_canary(to(parts["gateway"].url + WEBHOOK_PATH), Canary("vm", 1))


def test_canaries_are_counted_in_their_own_row_alone(parts, sender):
    wait_for(sender, None)
    engine = make_engine(parts["database"].address)
    with engine.connect() as connection:
        counts = {
            table: connection.execute(sa.text(f"SELECT count(*) FROM {table}")).scalar()  # noqa: S608  names of ours
            for table in (*OTHER_TABLES, "canaries")
        }
        assert connection.execute(sa.text("SELECT min(arrivals) FROM canaries")).scalar() >= 1
    engine.dispose()
    # This host's, and perhaps that of the test of requests.
    assert counts.pop("canaries") in {1, 2}
    assert counts == dict.fromkeys(OTHER_TABLES, 0)
    metrics = requests.get(f"http://{LOOPBACK}:{parts['edge'].port}/metrics", timeout=10).text
    assert re.findall(r"om_edge_(?:accepted_total|answer\w+_count)\{.*\} (.*)", metrics) == [
        "0.0",
        "0.0",
    ]


OTHER_TABLES = ("processed_events", "event_payloads", "dead_letters", "outbox", "drift")


def test_an_event_with_a_canary_s_header_is_an_event_like_any_other(parts, sender):
    wait_for(sender, None)
    body = b'{"eventType": "openmessaging:conversation:new"}'
    url = parts["gateway"].url + WEBHOOK_PATH

    assert post(url, body, **{"X-Open-Messaging-Canary": "1"}).status_code == 200

    engine = make_engine(parts["database"].address)
    deadline = time.monotonic() + NAMED_SECONDS
    with engine.connect() as connection:
        while not connection.execute(sa.text("SELECT count(*) FROM dead_letters")).scalar():
            connection.rollback()
            assert time.monotonic() < deadline
            time.sleep(0.1)
    engine.dispose()
