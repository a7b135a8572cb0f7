"""Assemble what the status page shows; what is unknown is named as unknown, never as none."""

import socket
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any, Final

from prometheus_client import Metric
from sqlalchemy import Engine

from messaging.management import QueueDepths
from messaging.topology import EVENTS_QUEUE, QUEUES
from workers.db.engine import DatabaseClock
from workers.observe.activity import Activity, ActivityReader
from workers.observe.alerts import BAD, WAIT, Alert, Samples, find_alerts, select_values
from workers.observe.collector import read_metrics
from workers.observe.probe import Probe, Reading, check_broker, read_depths, read_edge_health
from workers.observe.settings import ObserveSettings

PAGE_SECONDS: Final = 2.5
"""How long the page waits for a part before it shows the last answer."""

UP: Final = "up"
DOWN: Final = "down"
NONE: Final = "none here"

_WAITING: Final = (
    ("Conversations with an open window", "om_windows_open", "om_window_oldest_age_seconds"),
    ("Routing updates to verify", "om_routing_updates_waiting", None),
    ("Unknown names of the platform", "om_drift_names", None),
)
_RECORDED: Final = (
    ("Gaps found", "om_reconciliation_gaps", None),
    ("Conflicts", "om_conflicts", None),
)
_FIGURES: Final = {
    "intake": ("processed", "duplicates", "dead_lettered"),
    "deliver": ("delivered", "failed"),
}
"""The figures that the page shows of a role's workers."""


@dataclass(frozen=True, slots=True)
class Probes:
    """The parts of the service that the page asks.

    Args:
        metrics: The database's metrics.
        activity: What happened lately, from the database.
        broker: A connection to the broker; the answer is not used.
        depths: The queues' depths, from the management API; None if it is not configured.
        edge: The health report of the edge on this host; None if this host has no edge.
    """

    metrics: Probe[list[Metric]]
    activity: Probe[Activity]
    broker: Probe[None]
    depths: Probe[dict[str, int]] | None
    edge: Probe[dict[str, Any]]


def open_probes(settings: ObserveSettings, engine: Engine) -> Probes:
    """Return the probes of a running service; each has a thread of its own."""
    clock = DatabaseClock(engine)
    depths = QueueDepths(settings.management_urls, settings.amqp_urls)
    return Probes(
        metrics=Probe("metrics", lambda: read_metrics(engine, clock)),
        activity=Probe("activity", ActivityReader(engine).read),
        broker=Probe("broker", lambda: check_broker(settings.amqp_urls), fresh_seconds=10.0),
        depths=Probe("queues", lambda: read_depths(depths)) if settings.management_urls else None,
        edge=Probe("edge", lambda: read_edge_health(settings.edge)),
    )


def build_state(probes: Probes) -> dict[str, Any]:
    """Return everything that the page shows; blocks some seconds at most.

    Each part of it comes with its age, and with the problem that keeps it from being renewed.
    """
    for probe in (probes.metrics, probes.activity, probes.broker, probes.edge, probes.depths):
        if probe is not None:
            probe.read(0.0)
    # All parts are asked by now; they are waited for together.
    ends = time.monotonic() + PAGE_SECONDS
    metrics, activity = probes.metrics.read_until(ends), probes.activity.read_until(ends)
    broker, edge = probes.broker.read_until(ends), probes.edge.read_until(ends)
    depths = probes.depths.read_until(ends) if probes.depths is not None else None
    samples = collect_samples(metrics.value or ())
    if depths is not None and depths.problem is None:
        samples |= {("om_queue_messages", queue): depth for queue, depth in (depths.value or {}).items()}
    database = metrics if metrics.problem is not None else activity
    lights = [
        _light("broker", broker),
        _light("database", database),
        *_edge_lights(edge, activity.value),
    ]
    alerts = [
        *_find_silent_parts(lights, depths),
        *_find_edge_alerts(edge),
        *(find_alerts(samples) if database.problem is None else ()),
    ]
    return {
        "host": socket.gethostname(),
        "version": version("open-messaging-ingest"),
        "lights": lights,
        "alerts": [alert.describe() for alert in sorted(alerts, key=lambda alert: alert.level)],
        "queues": None if depths is None else {**depths.describe(), "rows": _list_queues(depths.value)},
        "metrics": {**metrics.describe(), **summarise(samples)},
        "activity": {**activity.describe(), **(asdict(activity.value) if activity.value else {})},
    }


def _light(name: str, reading: Reading[Any]) -> dict[str, Any]:
    state = UP if reading.problem is None else DOWN
    return {"name": name, "state": state, "problem": reading.problem, "age_s": reading.age_s}


def _edge_lights(reading: Reading[dict[str, Any]], activity: Activity | None) -> list[dict[str, Any]]:
    """Return the lights of edge and journal; a host whose edges are all elsewhere has neither."""
    elsewhere = {row["edge"] for row in activity.edges} if activity else set()
    if reading.value is None and elsewhere and socket.gethostname() not in elsewhere:
        return [{"name": name, "state": NONE, "problem": None, "age_s": None} for name in ("edge", "journal")]
    edge = _light("edge", reading)
    if reading.problem is not None or reading.value is None:
        return [edge, {**edge, "name": "journal", "problem": "unknown: the edge does not answer"}]
    refuses = reading.value["status"] != "ready"
    journal = {**edge, "name": "journal"}
    return [edge, {**journal, "state": DOWN, "problem": "refuses events"} if refuses else journal]


def _find_silent_parts(lights: list[dict[str, Any]], depths: Reading[dict[str, int]] | None) -> list[Alert]:
    names = {
        "broker": "OpenMessagingBrokerAway",
        "database": "OpenMessagingDatabaseAway",
        "edge": "OpenMessagingEdgeDown",
    }
    alerts = [
        Alert(BAD, f"The {light['name']} does not answer: {light['problem']}.", name, light["age_s"])
        for light in lights
        if light["state"] == DOWN and (name := names.get(light["name"]))
    ]
    is_broker_up = lights[0]["state"] == UP
    if is_broker_up and depths is not None and depths.problem is not None:
        text = "The broker's management API does not answer: the queues' depths are unknown."
        alerts.append(Alert(WAIT, text, "OpenMessagingBrokerAway", depths.age_s))
    return alerts


def _find_edge_alerts(reading: Reading[dict[str, Any]]) -> list[Alert]:
    if reading.value is None or reading.problem is not None:
        return []
    level = WAIT if reading.value["status"] == "ready" else BAD
    return [
        Alert(level, f"The edge reports: {problem}.", "OpenMessagingEdgeRefuses")
        for problem in reading.value["problems"]
    ]


def collect_samples(metrics: Iterable[Metric]) -> Samples:
    """Return every value by its name and labels."""
    return {
        (sample.name, *sample.labels.values()): float(sample.value)
        for metric in metrics
        for sample in metric.samples
    }


def _list_queues(depths: dict[str, int] | None) -> list[dict[str, Any]]:
    return [
        {"name": queue, "messages": depths[queue]}
        for queue in sorted(QUEUES, key=lambda queue: queue != EVENTS_QUEUE)
        if depths and queue in depths
    ]


def summarise(samples: Samples) -> dict[str, Any]:
    """Return what the page shows of the metrics; ages in seconds."""
    ages = select_values(samples, "om_dead_letter_oldest_age_seconds")
    names = sorted(name for (name,) in select_values(samples, "om_destination_paused"))
    return {
        "newest_event_s": samples.get(("om_newest_event_age_seconds",)),
        "reconciled_s": samples.get(("om_reconciliation_age_seconds",)),
        "waiting": _count(samples, _WAITING),
        "recorded": _count(samples, _RECORDED),
        "dead_letter_codes": [
            {"code": code, "count": count, "since_s": ages.get((code,))}
            for (code,), count in sorted(select_values(samples, "om_dead_letters").items())
        ],
        "destinations": [_describe_destination(samples, name) for name in names],
        "workers": [
            _describe_worker(samples, role, worker, is_up=bool(value))
            for (role, worker), value in sorted(select_values(samples, "om_worker_up").items())
        ],
    }


def _count(samples: Samples, rows: tuple[tuple[str, str, str | None], ...]) -> list[dict[str, Any]]:
    return [
        {"what": what, "count": samples[count,], "since_s": samples.get((age,)) if age else None}
        for what, count, age in rows
        if (count,) in samples
    ]


def _describe_destination(samples: Samples, name: str) -> dict[str, Any]:
    down = [value for (_, to), value in select_values(samples, "om_destination_down").items() if to == name]
    is_paused = samples.get(("om_destination_paused", name))
    return {
        "name": name,
        "state": "paused" if is_paused else "down" if any(down) else UP if down else "no worker delivers",
        "waiting": samples.get(("om_deliveries_waiting", name), 0.0),
        "due_s": samples.get(("om_delivery_oldest_due_age_seconds", name)),
    }


def _describe_worker(samples: Samples, role: str, worker: str, *, is_up: bool) -> dict[str, Any]:
    counts = [
        (
            figure,
            sum(
                value
                for (of, *_), value in select_values(samples, f"om_{role}_{figure}_total").items()
                if of == worker
            ),
        )
        for figure in _FIGURES.get(role, ())
    ]
    return {"role": role, "worker": worker, "is_up": is_up, "counts": counts}
