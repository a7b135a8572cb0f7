"""The status page's lights and alerts for parts that answer, fail or do not exist."""

import socket

import pytest

from messaging.errors import ConfigurationError, RetryLaterError
from workers.bootstrap import run_observe
from workers.db.engine import DatabaseClock, make_engine
from workers.observe import ObserveSettings, Probe, Probes, open_probes
from workers.observe.collector import find_missing
from workers.observe.status.overview import build_state

HERE = socket.gethostname()


def edge(name, answered):
    return {"edge": name, "answered": answered, "percent_within_100_ms": None, "refused": 0, "last_s": 700.0}


def activity(*edges):
    return {"edges": list(edges)}


def fail():
    raise RetryLaterError("it is away")


def state(*, local=fail, recorded=activity):
    """Return the page's state with a database that answers no query but does not fail."""
    probes = Probes(
        metrics=Probe("metrics", list),
        activity=Probe("activity", recorded),
        broker=Probe("broker", lambda: None),
        depths=None,
        edge=local and Probe("edge", local),
    )
    return build_state(probes)


def light(found, name):
    return next(light["state"] for light in found["lights"] if light["name"] == name)


@pytest.mark.parametrize(
    ("local", "edges", "shown"),
    [
        (fail, [edge(HERE, 1)], "down"),
        (fail, [edge("vm-2", 1)], "none here"),
        (fail, [], "unknown"),
        (None, [], "none here"),
        (None, [edge(HERE, 1)], "none here"),
        (lambda: {"status": "ready", "problems": []}, [], "up"),
    ],
)
def test_an_edge_is_down_only_if_this_host_has_one(local, edges, shown):
    found = state(local=local, recorded=lambda: activity(*edges))
    assert light(found, "edge") == shown
    levels = {alert["level"] for alert in found["alerts"] if alert["name"] == "OpenMessagingEdgeDown"}
    assert levels == {"down": {"bad"}, "unknown": {"wait"}}.get(shown, set())


@pytest.mark.parametrize(("answered", "alerts"), [(100, 1), (99, 0)])
def test_an_edge_of_another_host_that_stopped_is_named_while_others_are_busy(answered, alerts):
    found = state(local=None, recorded=lambda: activity(edge("vm-1", answered), edge("vm-2", 0)))
    texts = [alert["text"] for alert in found["alerts"] if alert["name"] == "OpenMessagingEdgeDown"]
    assert texts == ["The edge of vm-2 answers no webhook; others do."] * alerts


def test_a_failed_activity_query_hides_no_alert():
    found = state(recorded=fail)
    assert light(found, "database") == "up"
    assert found["activity"]["problem"] == "it is away"
    assert [alert["name"] for alert in found["alerts"]].count("OpenMessagingDatabaseAway") == 1


def test_values_of_failed_queries_are_unknown():
    found = state()["metrics"]
    assert set(found["missing"]) == find_missing([])
    assert [row["count"] for row in found["waiting"]] == [None] * 3


def test_an_edge_at_a_unix_socket_is_not_probed():
    settings = ObserveSettings(amqp_urls=("amqp://localhost/",), edge="unix:/run/edge.sock")
    engine = make_engine("sqlite://")
    assert open_probes(settings, engine, DatabaseClock(engine), None).edge is None


@pytest.mark.parametrize(
    ("database", "broker", "name"),
    [
        ("mysql://localhost/x", "amqp://localhost/", "OM_DATABASE_URL"),
        ("sqlite:///x", "http://x", "OM_AMQP_URL"),
    ],
)
def test_a_malformed_address_is_refused_before_the_server_starts(database, broker, name):
    settings = ObserveSettings(database_url=database, amqp_urls=(broker,), bind="192.0.2.1:9464")
    with pytest.raises(ConfigurationError, match=name):
        run_observe(settings)
