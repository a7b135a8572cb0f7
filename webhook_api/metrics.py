"""Render the health report as Prometheus metrics."""

from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import Any, Final

from prometheus_client import Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from webhook_api.answers import BOUNDS_SECONDS
from webhook_api.health import Health

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_HOST: Final = {
    "journal_bytes": ("om_edge_journal_bytes", "Bytes in the journals of this host."),
    "journal_max_bytes": ("om_edge_journal_max_bytes", "Limit of the journals of this host, in bytes."),
    "oldest_entry_s": ("om_edge_journal_oldest_entry_seconds", "Age of the oldest unproven event."),
    "platform_list_age_s": (
        "om_edge_platform_list_age_seconds",
        "Seconds since the platform last confirmed its list of addresses; missing before the first time.",
    ),
    "disk_free_bytes": ("om_edge_disk_free_bytes", "Free space on the disk of OM_STATE_DIRECTORY."),
    "disk_bytes": ("om_edge_disk_bytes", "Size of the disk of OM_STATE_DIRECTORY."),
    "time_s": ("om_edge_time_seconds", "This host's clock, in seconds since the epoch."),
}
"""The metrics of the whole host; each key is the value's name in the health report."""

_GAUGES: Final = {
    "entries": ("om_edge_journal_entries", "Unproven events, without those adopted from a dead process."),
    "oldest_unproven_s": (
        "om_edge_barrier_age_seconds",
        "Age of the oldest published event that is not proven; 5 to 7 s is normal.",
    ),
    "majority_seen_s": (
        "om_edge_majority_seen_age_seconds",
        "Seconds since a majority of the queue's members was seen online; only on a cluster.",
    ),
    "shedding": ("om_edge_shedding", "1 while webhooks are answered 429."),
    "queue_depth": ("om_edge_queue_depth", "The queue's depth as the edge counts it; missing while unknown."),
    "high": ("om_edge_queue_depth_high", "OM_QUEUE_DEPTH_HIGH: at this depth the edge starts answering 429."),
    "low": ("om_edge_queue_depth_low", "OM_QUEUE_DEPTH_LOW: at this depth the edge stops answering 429."),
    "drain_rate_per_s": ("om_edge_drain_rate_per_second", "Events per second that the workers acknowledge."),
    "sample_age_s": ("om_edge_queue_depth_age_seconds", "Seconds since the API reported the depth."),
    "longest_s": (
        "om_edge_longest_answer_seconds",
        "Longest time that a webhook waited, or may have waited, for its 200 in the last minute or two.",
    ),
}
"""The metrics of each process; each key is a name in its status, under `journal`, `gate` or `answers`."""

_COUNTERS: Final = {
    "accepted": ("om_edge_accepted", "Webhooks answered 200."),
    "republished": ("om_edge_republished", "Events published again after an interruption."),
    "damaged_segments": ("om_edge_damaged_segments", "Journal files set aside because of a wrong checksum."),
    "oversized": ("om_edge_oversized", "Events set aside because they are too large for the broker."),
}
_REFUSALS: Final = {"401": 0, "429": 0, "503": 0}
"""Refusals that alert rules watch are exported from the start: increase() ignores a counter's first value."""

_STATES: Final = ("up", "away", "blocked", "no_majority")


class EdgeCollector(Collector):
    """Collects the metrics from a new health report for every scrape; *health* returns the report."""

    def __init__(self, health: Callable[[], Health]) -> None:
        self._health = health

    def collect(self) -> Iterator[Metric]:
        """Yield the exported numbers of the health report as metrics."""
        report = self._health()
        yield GaugeMetricFamily("om_edge_ready", "1 while webhooks are accepted.", value=report.is_ready)
        for name, (metric, text) in _HOST.items():
            if (value := report.details.get(name)) is not None:
                yield GaugeMetricFamily(metric, text, value=float(value))
        yield from _collect_processes(report.details["processes"])


def _collect_processes(processes: list[dict[str, Any]]) -> Iterator[Metric]:
    """Yield the metrics of each process; when a process ends, its counts are lost."""
    for name, (metric, text) in _COUNTERS.items():
        counter = CounterMetricFamily(metric, text, labels=("pid",))
        for process in processes:
            counter.add_metric((str(process["pid"]),), float(process["journal"].get(name, 0)))
        yield counter
    for name, (metric, text) in _GAUGES.items():
        gauge = GaugeMetricFamily(metric, text, labels=("pid",))
        for process in processes:
            parts = process["journal"] | process.get("gate", {}) | process.get("answers", {})
            if (value := parts.get(name)) is not None:
                gauge.add_metric((str(process["pid"]),), float(value))
        yield gauge
    shed = CounterMetricFamily("om_edge_shed", "Webhooks answered 429.", labels=("pid",))
    refused = CounterMetricFamily("om_edge_refused", "Requests not answered 200.", labels=("pid", "status"))
    link = GaugeMetricFamily(
        "om_edge_broker", "1 for the broker connection's state.", labels=("pid", "state")
    )
    for process in processes:
        pid, gate = str(process["pid"]), process.get("gate", {})
        shed.add_metric((pid,), float(gate.get("refused", 0)))
        for status, count in (_REFUSALS | process.get("answers", {}).get("refused", {})).items():
            refused.add_metric((pid, status), float(count))
        for state in _STATES:
            link.add_metric((pid, state), float(process["journal"].get("broker") == state))
    yield from (shed, refused, link, _answer_seconds(processes))


def _answer_seconds(processes: list[dict[str, Any]]) -> Metric:
    histogram = HistogramMetricFamily(
        "om_edge_answer_seconds",
        "Time from a webhook's last byte to its 200; all 200s of one turn of the loop count as the slowest.",
        labels=("pid",),
    )
    bounds = [*map(str, BOUNDS_SECONDS), "+Inf"]
    for process in processes:
        if answers := process.get("answers"):
            buckets = list(zip(bounds, accumulate(answers["durations"]), strict=True))
            histogram.add_metric((str(process["pid"]),), buckets, answers["seconds"])
    return histogram


def render_metrics(health: Callable[[], Health]) -> bytes:
    """Return the body of the response to a Prometheus scrape."""
    return bytes(generate_latest(EdgeCollector(health)))
