"""docs/metrics.md describes exactly the metrics that the code exports."""

import re
from pathlib import Path

from webhook_api.health import Health
from webhook_api.metrics import EdgeCollector
from workers.observe.collector import WORKER_FIGURES
from workers.observe.metric_queries import METRIC_QUERIES

ROOT = Path(__file__).parents[3]
CATALOGUE = ROOT / "docs" / "metrics.md"
ROW = re.compile(r"^\| `(om_\w+)` \| (\w+) \| ([^|]*) \| ([^|]+) \| (.+) \|$", re.MULTILINE)
OBSERVE = {
    "om_database_up": ("gauge", (), "1 if the database answers and is writable."),
    "om_queue_messages": ("gauge", ("queue",), "Messages in a queue, including unacknowledged ones."),
    "om_canary_stopped": ("gauge", ("stage",), "1 for the stage that stopped the last canary."),
    "om_canary_seconds": (
        "gauge",
        (),
        "Seconds from the request of the last canary that arrived to its row in the database.",
    ),
    "om_worker_up": ("gauge", ("role", "worker"), "1 if the worker has reported within the last minute."),
}


class Everything(dict):
    """A report that has a number for every name."""

    def __missing__(self, _name):
        return 1

    def get(self, name, _default=None):
        return self[name]

    def __or__(self, _other):
        return self


def read_edge_metrics():
    answers = Everything(refused={401: 1}, durations=[1] * 6)
    process = Everything(pid=7, journal=Everything(), gate=Everything(), answers=answers)
    health = Health(is_ready=True, details=Everything(processes=[process]))
    for family in EdgeCollector(lambda: health).collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = tuple(label for label in family.samples[0].labels if label != "le")
        yield name, (family.type, labels, family.documentation)


def read_metrics_of_the_code():
    queries = {query.name: ("gauge", query.labels, query.help) for query in METRIC_QUERIES}
    figures = {
        figure.name if figure.gauge else f"{figure.name}_total": (
            "gauge" if figure.gauge else "counter",
            figure.labels,
            figure.help,
        )
        for figure in WORKER_FIGURES
    }
    return dict(read_edge_metrics()) | queries | figures | OBSERVE


def catalogue():
    return {
        name: (kind, tuple(re.findall(r"\w+", labels)), meaning)
        for name, kind, labels, _, meaning in ROW.findall(CATALOGUE.read_text())
    }


def test_the_catalogue_describes_every_metric_as_the_code_does():
    assert catalogue() == read_metrics_of_the_code()


def test_the_unit_of_a_metric_matches_the_suffix_of_its_name():
    for name, _, _, unit, _ in ROW.findall(CATALOGUE.read_text()):
        assert unit.strip()
        for suffix, wanted in {"_seconds": "s", "_bytes": "bytes"}.items():
            if name.removesuffix("_total").endswith(suffix):
                assert unit == wanted, name
