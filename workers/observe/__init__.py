"""Serve metrics of the database and the broker to Prometheus, and a status page to operators."""

from workers.observe.canary import CanarySettings
from workers.observe.collector import ServiceCollector, build_worker_metrics, read_metrics
from workers.observe.edge_answers import record_edge_answers
from workers.observe.page import make_app, serve
from workers.observe.probe import Probe
from workers.observe.settings import OBSERVER_SESSION, ObserveSettings
from workers.observe.status import ActivityReader, Probes, open_probes
