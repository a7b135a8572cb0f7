"""Assemble the status page's data. A value that cannot be read is shown as unknown, never as 0."""

import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
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
from workers.observe.probe import Probe, Reading, check_broker, read_depths, read_health
from workers.observe.settings import ObserveSettings
from workers.observe.status.activity import Activity, ActivityReader
from workers.observe.status.alerts import BAD, WAIT, Alert, Samples, find_alerts
from workers.observe.status.summary import DOWN, NONE, UNKNOWN, UP, summarise

PAGE_SECONDS: Final = 2.5
"""How long the page waits for a part of the service to answer before it shows the previous answer."""

CANARY_SECONDS: Final = 60.0
CANARY_SILENT_SECONDS: Final = 3 * CANARY_SECONDS

BUSY_WEBHOOKS: Final = 100
"""If all edges together answer this number of webhooks in ten minutes, a silent edge is at fault."""

EDGE_UNIT: Final = Path("/etc/systemd/system/om-api.service")
"""Exists if `omctl install` set up an edge on this host. The page then always shows the edge's light."""

_ALERTS: Final = {
    "broker": "OpenMessagingBrokerAway",
    "database": "OpenMessagingDatabaseAway",
    "edge": "OpenMessagingEdgeDown",
    CANARY: "OpenMessagingCanary",
}
_TEXTS: Final = {
    ("edge", UNKNOWN): "No edge is known: this host's edge does not answer, and no other edge is recorded.",
    (CANARY, UNKNOWN): "It is unknown whether events pass through the service: no canary result is known.",
    (CANARY, DOWN): "The canary was stopped: {problem}.",
}


@dataclass(frozen=True, slots=True)
class Probes:
    """The probes that the page reads; None for an unconfigured part or an edge on a socket file."""

    metrics: Probe[list[Metric]]
    activity: Probe[Activity]
    broker: Probe[None]
    depths: Probe[dict[str, int]] | None
    edge: Probe[dict[str, Any]] | None
    canary: Probe[float] | None = None  # how many seconds the newest recorded canary took


def open_probes(
    settings: ObserveSettings, engine: Engine, clock: DatabaseClock, depths: QueueDepths
) -> Probes:
    """Start the probes of the configured parts, each with its own thread, and return them."""
    broker = Probe("broker", lambda: check_broker(settings.amqp_urls), fresh_seconds=10.0)
    canary = None
    if settings.canary is not None:
        newest = Probe("canaries", partial(transact, engine, read_newest_canary, socket.gethostname()), 0.2)
        query = partial(send, settings.canary, broker, newest)
        canary = Probe(CANARY, query, every_seconds=CANARY_SECONDS, silent_seconds=CANARY_SILENT_SECONDS)
    return Probes(
        metrics=Probe("metrics", lambda: read_metrics(engine, clock)),
        activity=Probe("activity", ActivityReader(engine, clock).read),
        broker=broker,
        depths=Probe("queues", lambda: read_depths(depths)) if settings.management_urls else None,
        edge=Probe("edge", partial(read_health, settings.edge)) if settings.is_edge_reachable else None,
        canary=canary,
    )


def build_state(probes: Probes) -> dict[str, Any]:
    """Return all data that the status page shows; this takes a few seconds at most."""
    for probe in (probes.metrics, probes.activity, probes.broker, probes.edge, probes.depths):
        if probe is not None:
            probe.read(0.0)
    # All parts are being queried by now, so the waits for their answers overlap.
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
        *_find_silent_parts(lights, depths, activity),
        *_find_edge_alerts(edge),
        *_find_silent_edges(activity),
        *(find_alerts(samples, missing) if metrics.problem is None else ()),
    ]
    return {
        "host": socket.gethostname(),
        "version": version("open-messaging-ingest"),
        "lights": lights,
        "alerts": [alert.describe() for alert in sorted(alerts, key=lambda alert: alert.level)],
        "queues": None if depths is None else {**depths.describe(), "rows": _list_queues(depths.value)},
        "metrics": {**metrics.describe(), **summarise(samples, missing)},
        "activity": {**activity.describe(), **(activity.value or {})},
    }


def _list_queues(depths: Mapping[str, int] | None) -> list[dict[str, Any]]:
    """Return each queue's depth, None if it is unknown; the events queue comes first."""
    names = sorted(QUEUES, key=lambda name: name != EVENTS_QUEUE)
    return [] if depths is None else [{"name": name, "messages": depths.get(name)} for name in names]


def _light(name: str, reading: Reading[Any]) -> dict[str, Any]:
    return {"name": name, "state": UP if reading.problem is None else DOWN, **reading.describe()}


def _edge_lights(reading: Reading[dict[str, Any]] | None, activity: Activity | None) -> list[dict[str, Any]]:
    """Return the lights of the edge and its journal; NONE if all edges are on other hosts and answer."""
    answers = {row["edge"]: row["answered"] for row in activity["edges"]} if activity else {}
    is_here = EDGE_UNIT.exists() or socket.gethostname() in answers
    if reading is None or (reading.value is None and not is_here):
        silent = ", ".join(edge for edge, answered in answers.items() if not answered)
        state, problem = UNKNOWN if silent or not answers else NONE, None
        if reading is None:
            state, problem = UNKNOWN, "it is not asked, because OM_BIND is a socket file"
        elif silent:
            problem = f"no webhook was answered in ten minutes by {silent}"
        return [
            {"name": name, "state": state, "problem": problem, "age_s": None} for name in ("edge", "journal")
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
    # If a canary has no result yet or its query hangs, the state of the service is unknown.
    is_known = reading.problem is None or find_stage(reading) is not None
    return light if is_known else {**light, "state": UNKNOWN, "problem": None}


def _find_silent_parts(
    lights: list[dict[str, Any]], depths: Reading[dict[str, int]] | None, activity: Reading[Activity]
) -> list[Alert]:
    alerts = []
    for light in lights:
        name, level = light["name"], {DOWN: BAD, UNKNOWN: WAIT}.get(light["state"])
        # An edge that is not queried, or might only be idle, needs no action: its light gives the reason.
        is_explained = level == WAIT and light["problem"] is not None
        if level is not None and name in _ALERTS and not is_explained:
            text = _TEXTS.get((name, light["state"]), "The {name} does not answer: {problem}.")
            alerts.append(Alert(level, text.format_map(light), _ALERTS[name], light["age_s"]))
    broker, database = lights[0]["state"], lights[1]["state"]
    if broker == UP and depths is not None and (unknown := QUEUES.keys() - (depths.current or {}).keys()):
        reason = depths.problem or "it is missing, or has no majority"
        text = f"The depth of a queue is unknown ({', '.join(sorted(unknown))}): {reason}."
        alerts.append(Alert(WAIT, text, _ALERTS["broker"], depths.age_s))
    if database == UP and activity.problem is not None:
        text = f"The database did not answer every query; the last hour is unknown: {activity.problem}."
        alerts.append(Alert(WAIT, text, _ALERTS["database"], activity.age_s))
    return alerts


def _find_silent_edges(activity: Reading[Activity]) -> Iterator[Alert]:
    """Yield an alert if many webhooks get a 401, and one for each silent edge while others are busy."""
    edges = activity.current["edges"] if activity.current else []
    answered, unauthorised = (sum(row[key] for row in edges) for key in ("answered", "unauthorised"))
    if unauthorised >= 5 and unauthorised > 0.05 * (unauthorised + answered):
        text = f"{unauthorised} webhooks of the last ten minutes were answered 401: do the secrets match?"
        yield Alert(BAD, text, "OpenMessagingUnauthorised")
    is_busy = answered >= BUSY_WEBHOOKS
    for row in edges:
        if is_busy and not row["answered"] and row["edge"] != socket.gethostname():
            text = f"The edge on {row['edge']} answers no webhooks, but other edges do."
            yield Alert(WAIT, text, "OpenMessagingEdgeDown", row["last_s"])


def _find_edge_alerts(reading: Reading[dict[str, Any]] | None) -> list[Alert]:
    if reading is None or (report := reading.current) is None:
        return []
    level = WAIT if report["status"] == "ready" else BAD
    return [
        Alert(level, f"The edge reports: {problem}.", "OpenMessagingEdgeRefuses")
        for problem in report["problems"]
    ]


def collect_samples(metrics: Iterable[Metric]) -> Samples:
    """Return the value of every sample; its key consists of the metric's name and labels."""
    return {
        (sample.name, *sample.labels.values()): float(sample.value)
        for metric in metrics
        for sample in metric.samples
    }
