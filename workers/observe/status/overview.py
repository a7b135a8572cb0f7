"""Assemble the data of the status page; an unknown value is shown as unknown, never as none."""

import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Any, Final

from prometheus_client import Metric
from sqlalchemy import Engine

from messaging.envelope import CANARY
from messaging.management import QueueDepths
from messaging.topology import EVENTS_QUEUE, QUEUES
from workers.db.canary import read_newest_canary
from workers.db.engine import DatabaseClock, transact
from workers.observe.canary import find_stage, send
from workers.observe.collector import find_missing, read_metrics
from workers.observe.probe import Probe, Reading, check_broker, read_depths, read_edge
from workers.observe.settings import ObserveSettings
from workers.observe.status.activity import Activity, ActivityReader
from workers.observe.status.alerts import BAD, WAIT, Alert, Samples, find_alerts
from workers.observe.status.summary import DOWN, NONE, UNKNOWN, UP, summarise

PAGE_SECONDS: Final = 2.5
"""How long the page waits for a part before it shows the last answer."""

CANARY_SECONDS: Final = 60.0
CANARY_SILENT_SECONDS: Final = 3 * CANARY_SECONDS

BUSY_WEBHOOKS: Final = 100
"""If all edges together answered this many in ten minutes, an edge that answered none is down or cut off."""

_SILENT: Final = {
    "broker": "OpenMessagingBrokerAway",
    "database": "OpenMessagingDatabaseAway",
    "edge": "OpenMessagingEdgeDown",
}


@dataclass(frozen=True, slots=True)
class Probes:
    """The probes that the page reads; None for a part that is not configured.

    Args:
        edge: The health report of the edge on this host; None also if the edge listens at a socket file.
        canary: How many seconds the last canary that arrived took.
    """

    metrics: Probe[list[Metric]]
    activity: Probe[Activity]
    broker: Probe[None]
    depths: Probe[dict[str, int]] | None
    edge: Probe[dict[str, Any]] | None
    canary: Probe[float] | None = None


def open_probes(
    settings: ObserveSettings, engine: Engine, clock: DatabaseClock, depths: QueueDepths
) -> Probes:
    """Return the probes of a running service; each has a thread of its own."""
    broker = Probe("broker", lambda: check_broker(settings.amqp_urls), fresh_seconds=10.0)
    canary = None
    if settings.canary is not None:
        newest = Probe("canaries", partial(transact, engine, read_newest_canary, socket.gethostname()), 0.2)
        query = partial(send, settings.canary, broker, newest)
        canary = Probe(CANARY, query, every_seconds=CANARY_SECONDS, silent_seconds=CANARY_SILENT_SECONDS)
    return Probes(
        metrics=Probe("metrics", lambda: read_metrics(engine, clock)),
        activity=Probe("activity", ActivityReader(engine).read),
        broker=broker,
        depths=Probe("queues", lambda: read_depths(depths)) if settings.management_urls else None,
        edge=Probe("edge", lambda: read_edge(settings.edge, "/health/ready").json())
        if settings.is_edge_reachable
        else None,
        canary=canary,
    )


def build_state(probes: Probes) -> dict[str, Any]:
    """Return everything that the page shows; blocks for a few seconds at most.

    Each part has its age, and the problem that prevents a newer answer.
    """
    for probe in (probes.metrics, probes.activity, probes.broker, probes.edge, probes.depths):
        if probe is not None:
            probe.read(0.0)
    # All parts have been queried by now, so the waits for their answers overlap.
    ends = time.monotonic() + PAGE_SECONDS
    metrics, activity = probes.metrics.read_until(ends), probes.activity.read_until(ends)
    broker = probes.broker.read_until(ends)
    edge = probes.edge.read_until(ends) if probes.edge is not None else None
    depths = probes.depths.read_until(ends) if probes.depths is not None else None
    samples = collect_samples(metrics.value or ())
    missing = find_missing(metrics.value) if metrics.value is not None else frozenset()
    if depths is not None:
        samples |= {("om_queue_messages", queue): depth for queue, depth in (depths.current or {}).items()}
    lights = [
        _light("broker", broker),
        _light("database", metrics),
        *_edge_lights(edge, activity.value),
        *([] if probes.canary is None else [_canary_light(probes.canary.read(0.0))]),
    ]
    alerts = [
        *_find_silent_parts(lights, depths),
        *_find_edge_alerts(edge),
        *_find_silent_edges(activity),
        *(find_alerts(samples, missing) if metrics.problem is None else ()),
    ]
    return {
        "host": socket.gethostname(),
        "version": version("open-messaging-ingest"),
        "lights": lights,
        "alerts": [alert.describe() for alert in sorted(alerts, key=lambda alert: alert.level)],
        "queues": None if depths is None else {**depths.describe(), "rows": _list_queues(depths.value or {})},
        "metrics": {**metrics.describe(), **summarise(samples, missing)},
        "activity": {**activity.describe(), **(activity.value or {})},
    }


def _list_queues(depths: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return the depth of each queue, the events' first."""
    names = sorted(QUEUES, key=lambda name: name != EVENTS_QUEUE)
    return [{"name": name, "messages": depths[name]} for name in names if name in depths]


def _light(name: str, reading: Reading[Any]) -> dict[str, Any]:
    return {"name": name, "state": UP if reading.problem is None else DOWN, **reading.describe()}


def _edge_lights(reading: Reading[dict[str, Any]] | None, activity: Activity | None) -> list[dict[str, Any]]:
    """Return the lights of edge and journal; both are NONE if all edges are on other hosts."""
    recorded = {row["edge"] for row in activity["edges"]} if activity else set()
    if reading is None or (reading.value is None and socket.gethostname() not in recorded):
        state = NONE if reading is None or recorded else UNKNOWN
        return [
            {"name": name, "state": state, "problem": None, "age_s": None} for name in ("edge", "journal")
        ]
    edge = _light("edge", reading)
    journal = {**edge, "name": "journal"}
    if reading.current is None:
        journal["problem"] = "unknown: the edge does not answer"
    elif reading.current["status"] != "ready":
        journal |= {"state": DOWN, "problem": "refuses events"}
    return [edge, journal]


def _canary_light(reading: Reading[float]) -> dict[str, Any]:
    light = _light(CANARY, reading)
    # A canary without a result, or a query that hangs, shows nothing about the service.
    is_known = reading.problem is None or find_stage(reading) is not None
    return light if is_known else {**light, "state": UNKNOWN, "problem": None}


def _find_silent_parts(lights: list[dict[str, Any]], depths: Reading[dict[str, int]] | None) -> list[Alert]:
    alerts = []
    for light in lights:
        name, problem, age = light["name"], light["problem"], light["age_s"]
        if light["state"] == DOWN and name == CANARY:
            text = f"Our own event was stopped. {problem}."
            alerts.append(Alert(BAD, text, "OpenMessagingCanary", age))
        elif light["state"] == DOWN and name in _SILENT:
            alerts.append(Alert(BAD, f"The {name} does not answer: {problem}.", _SILENT[name], age))
        elif light["state"] == UNKNOWN and name == "edge":
            text = "No edge is known: this host's has not answered, and none is recorded."
            alerts.append(Alert(WAIT, text, _SILENT[name]))
    is_broker_up = lights[0]["state"] == UP
    if is_broker_up and depths is not None and depths.problem is not None:
        text = "The broker's management API does not answer: the queues' depths are unknown."
        alerts.append(Alert(WAIT, text, _SILENT["broker"], depths.age_s))
    return alerts


def _find_silent_edges(activity: Reading[Activity]) -> Iterator[Alert]:
    """Yield an alert for each edge of another host that answers nothing while others are busy."""
    edges = activity.current["edges"] if activity.current else []
    is_busy = sum(row["answered"] for row in edges) >= BUSY_WEBHOOKS
    for row in edges:
        if is_busy and not row["answered"] and row["edge"] != socket.gethostname():
            text = f"The edge of {row['edge']} answers no webhook; others do."
            yield Alert(WAIT, text, "OpenMessagingEdgeDown", row["last_s"])


def _find_edge_alerts(reading: Reading[dict[str, Any]] | None) -> list[Alert]:
    if reading is None or reading.current is None:
        return []
    report = reading.current
    level = WAIT if report["status"] == "ready" else BAD
    return [
        Alert(level, f"The edge reports: {problem}.", "OpenMessagingEdgeRefuses")
        for problem in report["problems"]
    ]


def collect_samples(metrics: Iterable[Metric]) -> Samples:
    """Return every value by its name and labels."""
    return {
        (sample.name, *sample.labels.values()): float(sample.value)
        for metric in metrics
        for sample in metric.samples
    }
