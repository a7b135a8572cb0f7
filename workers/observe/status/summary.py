"""Summarise the metrics from the database for the status page."""

from collections.abc import Collection
from typing import Any, Final

from workers.observe.collector import WORKER_UP
from workers.observe.status.alerts import Samples, select_values

UP: Final = "up"
DOWN: Final = "down"
NONE: Final = "none here"
UNKNOWN: Final = "unknown"

_WAITING: Final = (
    ("Conversations with an open window", "om_windows_open", "om_window_oldest_age_seconds"),
    ("Routing updates to verify", "om_routing_updates_waiting", None),
    ("Unknown names from the platform", "om_drift_names", None),
)
_RECORDED: Final = (("Gaps found", "om_reconciliation_gaps", None), ("Conflicts", "om_conflicts", None))
_FIGURES: Final = {"intake": ("processed", "duplicates", "dead_lettered"), "deliver": ("delivered", "failed")}
"""The worker figures that the status page shows, by role."""


def summarise(samples: Samples, missing: Collection[str]) -> dict[str, Any]:
    """Return the page's data from the samples. Ages are in seconds; a *missing* metric's value is None."""
    ages = select_values(samples, "om_dead_letter_oldest_age_seconds")
    names = sorted(name for (name,) in select_values(samples, "om_destination_paused"))
    return {
        "newest_event_s": samples.get(("om_newest_event_age_seconds",)),
        "reconciled_s": samples.get(("om_reconciliation_age_seconds",)),
        "missing": sorted(missing),
        "waiting": _count(samples, missing, _WAITING),
        "recorded": _count(samples, missing, _RECORDED),
        "dead_letter_codes": [
            {"code": code, "count": count, "since_s": ages.get((code,))}
            for (code,), count in sorted(select_values(samples, "om_dead_letters").items())
        ],
        "destinations": [_describe_destination(samples, missing, name) for name in names],
        "workers": [
            _describe_worker(samples, role, worker, is_up=bool(value))
            for (role, worker), value in sorted(select_values(samples, "om_worker_up").items())
        ],
    }


def _count(
    samples: Samples, missing: Collection[str], rows: tuple[tuple[str, str, str | None], ...]
) -> list[dict[str, Any]]:
    return [
        {"what": what, "count": samples.get((count,)), "since_s": samples.get((age,)) if age else None}
        for what, count, age in rows
        if (count,) in samples or count in missing
    ]


def _describe_destination(samples: Samples, missing: Collection[str], name: str) -> dict[str, Any]:
    down = [value for (_, to), value in select_values(samples, "om_destination_down").items() if to == name]
    is_paused = samples.get(("om_destination_paused", name))
    without = UNKNOWN if WORKER_UP in missing else "no worker delivers"
    is_unknown = "om_deliveries_waiting" in missing
    return {
        "name": name,
        "state": "paused" if is_paused else "down" if any(down) else UP if down else without,
        "waiting": None if is_unknown else samples.get(("om_deliveries_waiting", name), 0.0),
        "due_s": samples.get(("om_delivery_oldest_due_age_seconds", name)),
    }


def _describe_worker(samples: Samples, role: str, worker: str, *, is_up: bool) -> dict[str, Any]:
    def total(figure: str) -> float:
        values = select_values(samples, f"om_{role}_{figure}_total").items()
        return sum(value for (of, *_), value in values if of == worker)

    counts = [(figure, total(figure)) for figure in _FIGURES.get(role, ())]
    return {"role": role, "worker": worker, "is_up": is_up, "counts": counts}
