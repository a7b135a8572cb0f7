"""Put what Prometheus is told into the page's order, so that both always say the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from messaging.topology import EVENTS_QUEUE, QUEUES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client import Metric

Samples: TypeAlias = "dict[tuple[str, ...], float]"
"""Values by the metric's name and its labels' values."""

_WAITING: Final = (
    ("Conversations whose window is open", "om_windows_open", "om_window_oldest_age_seconds"),
    ("Routing updates to be verified", "om_routing_updates_waiting", None),
    ("Unknown names of the platform", "om_drift_names", None),
    ("Gaps that were found", "om_reconciliation_gaps", None),
    ("Conflicts on record", "om_conflicts", None),
)
"""What is counted, and since when the oldest waits."""

_COUNTED: Final = {
    "intake": ("processed", "duplicates", "dead_lettered"),
    "deliver": ("delivered", "failed"),
}
"""What a worker of a role is asked for."""


def samples_of(metrics: Iterable[Metric]) -> Samples:
    """Return every value by its name and labels."""
    return {
        (sample.name, *sample.labels.values()): float(sample.value)
        for metric in metrics
        for sample in metric.samples
    }


def labelled(samples: Samples, name: str) -> dict[tuple[str, ...], float]:
    """Return the values of one metric by their labels."""
    return {key[1:]: value for key, value in samples.items() if key[0] == name}


def overview(samples: Samples) -> dict[str, Any]:
    """Return what the page shows beside the flow; ages in seconds."""
    get = samples.get
    ages = labelled(samples, "om_dead_letter_oldest_age_seconds")
    return {
        "queues": [
            {"name": queue, "messages": get(("om_queue_messages", queue))}
            for queue in sorted(QUEUES, key=lambda queue: queue != EVENTS_QUEUE)
            if ("om_queue_messages", queue) in samples
        ],
        "newest_event_s": get(("om_newest_event_age_seconds",)),
        "reconciled_s": get(("om_reconciliation_age_seconds",)),
        "waiting": [
            {"what": what, "count": get((count,)), "since_s": get((age,)) if age else None}
            for what, count, age in _WAITING
            if (count,) in samples
        ],
        "dead_letters": [
            {"code": code, "count": count, "since_s": ages.get((code,))}
            for (code,), count in sorted(labelled(samples, "om_dead_letters").items())
        ],
        "destinations": [_destination(samples, name) for name in _destinations(samples)],
        "workers": [
            _worker(samples, role, worker, is_up=bool(value))
            for (role, worker), value in sorted(labelled(samples, "om_worker_up").items())
        ],
    }


def _destinations(samples: Samples) -> list[str]:
    return sorted({name for (name,) in labelled(samples, "om_destination_paused")})


def _destination(samples: Samples, name: str) -> dict[str, Any]:
    down = [value for (_, to), value in labelled(samples, "om_destination_down").items() if to == name]
    is_paused = samples.get(("om_destination_paused", name))
    return {
        "name": name,
        "state": "paused" if is_paused else "down" if any(down) else "up" if down else "nobody delivers",
        "waiting": samples.get(("om_deliveries_waiting", name), 0.0),
        "due_s": samples.get(("om_delivery_oldest_due_age_seconds", name)),
    }


def _worker(samples: Samples, role: str, worker: str, *, is_up: bool) -> dict[str, Any]:
    counts = [
        (figure, _count_of(samples, f"om_{role}_{figure}_total", worker)) for figure in _COUNTED.get(role, ())
    ]
    return {"role": role, "worker": worker, "is_up": is_up, "counts": counts}


def _count_of(samples: Samples, name: str, worker: str) -> float:
    """Return what a worker has counted, of all destinations together."""
    return sum(value for (of, *_), value in labelled(samples, name).items() if of == worker)
