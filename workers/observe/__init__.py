"""Tell Prometheus what the database and the broker know of the service."""

from workers.observe.collector import ServiceCollector
from workers.observe.serving import serve
from workers.observe.settings import ObserveSettings, read_observe_settings

__all__ = ["ObserveSettings", "ServiceCollector", "read_observe_settings", "serve"]
