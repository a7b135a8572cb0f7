"""The status page has lights and alerts for parts that answer, fail or do not exist."""

import socket
import time

import pytest

from messaging.errors import ConfigurationError, RetryLaterError
from messaging.topology import EVENTS_QUEUE, QUEUES
from workers.bootstrap import run_observe
from workers.db.engine import DatabaseClock, make_engine
from workers.observe import ObserveSettings, Probe, Probes, open_probes
from workers.observe.collector import find_missing
from workers.observe.status import overview
from workers.observe.status.overview import build_state

HERE = socket.gethostname()


def edge(name, answered, unauthorised=0):
    counts = {"answered": answered, "refused": unauthorised, "unauthorised": unauthorised}
    return {"edge": name, "percent_within_100_ms": None, "last_s": 700.0, **counts}


def activity(*edges):
    return {"edges": list(edges)}


def fail():
    raise RetryLaterError("it is away")


def state(*, local=fail, recorded=activity, canary=None, depths=None):
    """Return the page's state with a database that returns no metrics but does not fail."""
    probes = Probes(
        metrics=Probe("metrics", list),
        activity=Probe("activity", recorded),
        broker=Probe("broker", lambda: None),
        depths=depths and Probe("depths", depths),
        edge=local and Probe("edge", local),
        canary=canary and Probe("canary", canary),
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
        (lambda: {"status": "ready", "problems": []}, [], "up"),
    ],
)
def test_an_edge_is_shown_as_down_only_if_this_host_has_an_edge(local, edges, shown):
    found = state(local=local, recorded=lambda: activity(*edges))
    assert light(found, "edge") == shown
    levels = {alert["level"] for alert in found["alerts"] if alert["name"] == "OpenMessagingEdgeDown"}
    assert levels == {"down": {"bad"}, "unknown": {"wait"}}.get(shown, set())


@pytest.mark.parametrize(
    ("local", "edges", "problem"),
    [
        (None, [], "it is not asked, because OM_BIND is a socket file"),
        (None, [edge("vm-2", 1)], "it is not asked, because OM_BIND is a socket file"),
        (None, [edge(HERE, 1)], "it is not asked, because OM_BIND is a socket file"),
        (fail, [edge("vm-2", 0)], "no webhook was answered in ten minutes by vm-2"),
        (
            fail,
            [edge("vm-1", 1), edge("vm-2", 0), edge("vm-3", 0)],
            "no webhook was answered in ten minutes by vm-2, vm-3",
        ),
    ],
)
def test_an_edge_that_is_not_asked_or_silent_on_another_host_is_unknown_without_an_alert(
    local, edges, problem
):
    found = state(local=local, recorded=lambda: activity(*edges))
    lights = {light["name"]: (light["state"], light["problem"]) for light in found["lights"]}
    assert lights["edge"] == lights["journal"] == ("unknown", problem)
    assert "OpenMessagingEdgeDown" not in [alert["name"] for alert in found["alerts"]]


@pytest.mark.parametrize(("unauthorised", "answered", "alerts"), [(5, 90, 1), (5, 95, 0), (4, 0, 0)])
def test_webhooks_that_are_answered_401_cause_an_alert(unauthorised, answered, alerts):
    edges = [edge("vm-1", answered), edge("vm-2", 0, unauthorised)]
    found = [alert["name"] for alert in state(recorded=lambda: activity(*edges))["alerts"]]
    assert found.count("OpenMessagingUnauthorised") == alerts


def test_a_queue_whose_depth_is_unknown_is_listed_and_causes_an_alert():
    depths = dict.fromkeys(QUEUES, 0)
    known = state(depths=lambda: depths)
    del depths[EVENTS_QUEUE]
    unknown = state(depths=lambda: depths)
    assert unknown["queues"]["rows"] == [
        {"name": EVENTS_QUEUE, "messages": None},
        *known["queues"]["rows"][1:],
    ]
    texts = [[alert["text"] for alert in found["alerts"]] for found in (known, unknown, state(depths=fail))]
    assert [sum("depth of a queue is unknown" in text for text in found) for found in texts] == [0, 1, 1]
    assert any(EVENTS_QUEUE in text and "majority" in text for text in texts[1])
    assert any(EVENTS_QUEUE in text and "it is away" in text for text in texts[2])


def test_an_installed_edge_is_shown_as_down_even_if_it_was_idle_for_days(tmp_path, monkeypatch):
    monkeypatch.setattr(overview, "EDGE_UNIT", tmp_path)
    found = state(recorded=lambda: activity(edge("vm-2", 1)))
    assert light(found, "edge") == "down"
    assert "OpenMessagingEdgeDown" in [alert["name"] for alert in found["alerts"]]


def test_a_canary_without_a_result_causes_an_alert():
    found = state(canary=lambda: time.sleep(5))
    assert light(found, "canary") == "unknown"
    [alert] = [alert for alert in found["alerts"] if alert["name"] == "OpenMessagingCanary"]
    assert alert["level"] == "wait"


@pytest.mark.parametrize(("answered", "alerts"), [(100, 1), (99, 0)])
def test_a_stopped_edge_of_another_host_is_named_while_other_edges_are_busy(answered, alerts):
    found = state(local=None, recorded=lambda: activity(edge("vm-1", answered), edge("vm-2", 0)))
    texts = [alert["text"] for alert in found["alerts"] if alert["name"] == "OpenMessagingEdgeDown"]
    assert texts == ["The edge on vm-2 answers no webhooks, but other edges do."] * alerts


def test_a_failed_activity_query_does_not_hide_alerts():
    found = state(recorded=fail)
    assert light(found, "database") == "up"
    assert found["activity"]["problem"] == "it is away"
    texts = [alert["text"] for alert in found["alerts"] if alert["name"] == "OpenMessagingDatabaseAway"]
    assert sorted(text.partition("unknown")[0] for text in texts) == [
        "The database did not answer every query; ",
        "The database did not answer every query; the last hour is ",
    ]


def test_values_of_failed_queries_are_reported_as_unknown():
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
