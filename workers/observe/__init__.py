"""Tell Prometheus, and whoever opens /ops, what the database and the broker know of the service."""

from workers.observe.collector import ServiceCollector
from workers.observe.page import Edges, Flow, ops_app
from workers.observe.serving import serve
from workers.observe.settings import OBSERVER_SESSION, ObserveSettings, read_observe_settings

__all__ = [
    "OBSERVER_SESSION",
    "Edges",
    "Flow",
    "ObserveSettings",
    "ServiceCollector",
    "ops_app",
    "read_observe_settings",
    "serve",
]
