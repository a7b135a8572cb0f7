"""The status page, the metrics and the canary name each part of a real service that stops or freezes."""

import re
import signal
import time
from contextlib import nullcontext
from functools import partial

import pytest
import requests
import sqlalchemy as sa

from messaging.management import QueueDepths
from simulator.serving import serve_app
from tests.gateway import Gateway
from tests.servers import LOOPBACK, ensure_nginx
from tests.servers.postgresql import PrivatePostgreSQL as Database
from tests.servers.rabbitmq import PrivateRabbitMQ as Broker
from tests.services import SECRET, WEBHOOK_PATH, Edge, IntakeWorker, Service, declare_topology, post, running
from tests.waiting import wait_until
from workers.db.canary import Canary
from workers.db.engine import DatabaseClock, make_engine
from workers.db.migrations import schema
from workers.observe import OBSERVER_SESSION, CanarySettings, ObserveSettings, Probe, make_app, open_probes
from workers.observe.canary import CanaryStoppedError
from workers.observe.canary import post as post_canary
from workers.observe.probe import read_health
from workers.observe.status import overview

pytestmark = pytest.mark.timeout(300)

NAMED_SECONDS = 30.0
"""The time within which a stopped part must be named in these tests, which send a canary every second. With
the usual canary every minute, naming the part takes less than 90 s."""

UP = dict.fromkeys(("broker", "database", "edge", "journal", "canary"), "up")


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """Run the whole service behind its gateway; yield its parts by name."""
    ensure_nginx()
    directory = tmp_path_factory.mktemp("service")
    broker = Broker(tmp_path_factory.mktemp("broker"))
    broker.start()
    try:
        declare_topology(broker.amqp_url)
        with Database(tmp_path_factory.mktemp("database"), durable=False) as database:
            database.address = database.create_database("events")
            schema.upgrade(database.address)
            service = Service(directory, broker.amqp_url)
            edge = Edge(service)
            gateway = Gateway(tmp_path_factory.mktemp("gateway"), f"{LOOPBACK}:{edge.port}")
            worker = IntakeWorker(service, database.address)
            found = {"broker": broker, "database": database, "edge": edge, "gateway": gateway}
            with running(edge), running(gateway), running(worker):
                for process in (edge, gateway, worker):
                    process.start()
                yield found | {"intake": worker}
    finally:
        broker.stop()


@pytest.fixture(autouse=True)
def trust(parts, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(parts["gateway"].certificate))


@pytest.fixture(scope="module")
def page(parts):
    """A client for the status page of an om-observe process that sends a canary every second."""
    patch = pytest.MonkeyPatch()
    patch.setenv("REQUESTS_CA_BUNDLE", str(parts["gateway"].certificate))
    patch.setattr(overview, "CANARY_SECONDS", 1.0)
    broker = parts["broker"]
    settings = ObserveSettings(
        database_url=parts["database"].address,
        amqp_urls=(broker.amqp_url,),
        management_urls=(broker.management_url,),
        edge=f"{LOOPBACK}:{parts['edge'].port}",
        canary=to(parts["gateway"].url + WEBHOOK_PATH),
    )
    depths = QueueDepths(settings.management_urls, settings.amqp_urls)
    engine = make_engine(settings.database_url, OBSERVER_SESSION)
    probes = open_probes(settings, engine, DatabaseClock(engine), depths)
    yield make_app(probes).test_client()
    patch.undo()


def to(url, secret=SECRET):
    return CanarySettings(url, secret.encode(), {})


def wait_for(page, **lights):
    """Read the page until its lights are as expected; *canary* names the stage that stopped the canary."""
    deadline = time.monotonic() + NAMED_SECONDS
    while True:
        began = time.monotonic()
        state = page.get("/ops/state").get_json()
        assert time.monotonic() - began < 15.0
        found = {light["name"]: light["state"] for light in state["lights"]}
        [canary] = [light for light in state["lights"] if light["name"] == "canary"]
        if canary["problem"]:
            found["canary"] = canary["problem"].partition(":")[0]
        # Soon after the start, the last hour has not been read yet.
        if found == UP | lights and "minutes" in state["activity"]:
            return state
        assert time.monotonic() < deadline, state["lights"]
        time.sleep(0.2)


def end(process):
    process.end(signal.SIGTERM, timeout=30.0)


LIGHTS = {"edge": ("edge", "journal"), "broker": ("broker",), "database": ("database",)}
"""The lights of the page, other than the canary's, that are down while a part is stopped."""
FAULTS = {
    "a stopped gateway": ("gateway", end, Gateway.start, ""),
    "a stopped edge": ("edge", end, Edge.start, "The edge does not answer"),
    "a stopped broker": ("broker", Broker.stop, Broker.start, "The broker does not answer: no broker in"),
    "a frozen broker": ("broker", Broker.freeze, Broker.resume, "The broker does not answer"),
    "a stopped worker": ("intake", end, IntakeWorker.start, ""),
    "a stopped database": (
        "database",
        Database.stop,
        Database.start,
        "The database does not answer: it accepts no connection",
    ),
    "a frozen database": ("database", Database.freeze, Database.resume, "The database does not answer: "),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_stopped_part_is_named_and_its_last_values_stay_until_it_recovers(parts, page, fault):
    part, stop, start, text = FAULTS[fault]
    before = wait_for(page)
    stop(parts[part])
    try:
        state = wait_for(page, canary=part, **dict.fromkeys(LIGHTS.get(part, ()), "down"))
        assert text in " ".join(alert["text"] for alert in state["alerts"])
        assert state["queues"]["rows"]
        assert fault != "a frozen broker" or state["queues"]["problem"]
        minutes = (state["activity"]["minutes"], before["activity"]["minutes"])
        assert part != "database" or minutes[0] == minutes[1] or state["activity"]["age_s"] > 15
        assert f'om_canary_stopped{{stage="{part}"}} 1.0' in metrics(page)
        assert ("om_database_up 0.0" in metrics(page)) is (part == "database")
        journal = next(light for light in state["lights"] if light["name"] == "journal")
        assert part != "edge" or journal["problem"] == "unknown: the edge does not answer"
    finally:
        start(parts[part])
    wait_for(page)


@pytest.mark.parametrize("answer", ['{"status": "UP"}', "[]", "up"])
def test_another_program_at_the_address_of_the_edge_is_reported(answer):
    def app(_environ, start_response):
        start_response("200 OK", [("Content-Type", "application/json")])
        return [answer.encode()]

    with serve_app(app) as url:
        edge = Probe("edge", partial(read_health, url.removeprefix("http://")))
        assert edge.read(5.0).problem == "another program answers at OM_BIND"


def metrics(page):
    return page.get("/metrics").get_data(as_text=True)


@pytest.mark.parametrize(
    ("change", "stage"),
    [
        (lambda url: to(url.replace(LOOPBACK, "nowhere.invalid")), "dns"),
        (lambda url: to(url.replace(LOOPBACK, "localhost")), "certificate"),
        (lambda url: to(url.replace(WEBHOOK_PATH, "/elsewhere")), "gateway"),
        (lambda url: to(url, "another-secret-0123456789"), "edge"),
        (to, None),
        (to, "certificate"),
    ],
)
def test_the_stage_that_stops_the_canary_is_named(parts, change, stage, monkeypatch):
    if (change, stage) == (to, "certificate"):
        # Without this variable, the gateway's certificate authority is not trusted.
        monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    settings = change(parts["gateway"].url + WEBHOOK_PATH)
    with pytest.raises(CanaryStoppedError, match=rf"^{stage}: ") if stage else nullcontext():
        post_canary(settings, Canary("vm", time.time_ns() // 1000))


OTHER_TABLES = ("processed_events", "event_payloads", "dead_letters", "outbox", "drift")


def test_canaries_are_counted_only_in_their_own_table(parts, page):
    wait_for(page)
    engine = make_engine(parts["database"].address)
    with engine.connect() as connection:
        counts = {
            table: connection.execute(sa.text(f"SELECT count(*) FROM {table}")).scalar()  # noqa: S608  # fixed names
            for table in (*OTHER_TABLES, "canaries")
        }
        assert connection.execute(sa.text("SELECT min(arrivals) FROM canaries")).scalar() >= 1
    engine.dispose()
    # The table has this host's canary, and perhaps one from test_the_stage_that_stops_the_canary_is_named.
    assert counts.pop("canaries") in {1, 2}
    assert counts == dict.fromkeys(OTHER_TABLES, 0)
    text = requests.get(f"http://{LOOPBACK}:{parts['edge'].port}/metrics", timeout=10).text
    assert re.findall(r"om_edge_(?:accepted_total|answer\w+_count)\{.*\} (.*)", text) == ["0.0", "0.0"]


def test_an_event_with_a_canarys_header_is_processed_like_any_other_event(parts, page):
    """The event's dead letter causes an alert, which disappears while the database does not answer."""
    wait_for(page)
    body = b'{"eventType": "openmessaging:conversation:new"}'
    url = parts["gateway"].url + WEBHOOK_PATH
    assert post(url, body, **{"X-Open-Messaging-Canary": "1"}).status_code == 200

    def has_alert(state):
        return any("dead letters wait" in alert["text"] for alert in state["alerts"])

    wait_until(lambda: has_alert(wait_for(page)), NAMED_SECONDS)
    parts["database"].freeze()
    try:
        assert not has_alert(wait_for(page, database="down", canary="database"))
    finally:
        parts["database"].resume()
    wait_for(page)
