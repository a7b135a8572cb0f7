"""Read the settings of the reconcile worker, and open the platform's history."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Engine

from messaging.clock import Clock
from messaging.environment import Environment
from messaging.errors import ConfigurationError
from messaging.settings import WorkerSettings, positive, setting
from workers.genesys import GenesysClient, GenesysSettings, RequestBudget, read_genesys_settings
from workers.reconcile.bounds import DAY_US, HORIZON_DAYS
from workers.reconcile.platform_history import PlatformHistory
from workers.retain import EVENT_DAYS

INTERVAL_US: Final = 900_000_000
"""The guide's: "every fifteen minutes"."""


def _read_platform(environment: Environment, name: str, _: object) -> GenesysSettings:
    genesys = read_genesys_settings(environment)
    if genesys is None:
        raise ConfigurationError(f"{name} must name the platform whose history is compared")
    return genesys


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileSettings(WorkerSettings):
    """Settings of the reconcile role; deploy/environment.example explains each."""

    amqp_urls: tuple[str, ...] = setting("OM_AMQP_URL", Environment.strings, (), is_secret=True)
    genesys: GenesysSettings = setting("OM_GENESYS_REGION", _read_platform, None)
    retention_days: int = setting("OM_RETENTION_DAYS", positive, EVENT_DAYS)

    @property
    def horizon_us(self) -> int:
        """How far back events are compared: older ones may be deleted here, and would look missing."""
        return round(min(HORIZON_DAYS, self.retention_days - 0.5) * DAY_US)


def open_platform_history(settings: GenesysSettings, engine: Engine, clock: Clock) -> PlatformHistory:
    """Return the platform's history, read with the requests that urgent callers leave."""
    limit = settings.requests_per_minute
    budget = RequestBudget(engine, settings.client_id, limit, clock, is_background=True)
    return PlatformHistory(GenesysClient(settings, budget))
