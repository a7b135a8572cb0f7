"""Read the settings of the reconcile worker, and open the platform's history."""

from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Engine

from messaging.clock import Clock
from messaging.environment import Environment
from messaging.errors import ConfigurationError
from workers.genesys import GenesysClient, GenesysSettings, RequestBudget, read_genesys_settings
from workers.reconcile.bounds import DAY_US, HORIZON_DAYS
from workers.reconcile.platform_history import PlatformHistory
from workers.retain import EVENT_DAYS

INTERVAL_US: Final = 900_000_000
"""The guide's: "every fifteen minutes"."""


@dataclass(frozen=True, slots=True)
class ReconcileSettings:
    """What the reconcile worker needs.

    Args:
        interval_us: From the beginning of one comparison to the beginning of the next.
        retention_days: Older events may be deleted here, and would look missing.
    """

    genesys: GenesysSettings
    amqp_urls: tuple[str, ...] = field(repr=False)
    database_url: str = field(repr=False)
    interval_us: int = INTERVAL_US
    retention_days: int = EVENT_DAYS

    @property
    def horizon_us(self) -> int:
        """How far back events are compared: no further than they are kept."""
        return round(min(HORIZON_DAYS, self.retention_days - 0.5) * DAY_US)


def read_reconcile_settings() -> ReconcileSettings:
    """Read the settings from the environment."""
    environment = Environment()
    genesys = read_genesys_settings(environment)
    if genesys is None:
        raise ConfigurationError("OM_GENESYS_REGION must name the platform whose history is compared")
    return ReconcileSettings(
        genesys,
        amqp_urls=environment.strings("OM_AMQP_URL"),
        database_url=environment.required("OM_DATABASE_URL", "the database"),
        retention_days=environment.integer("OM_RETENTION_DAYS", EVENT_DAYS, minimum=1),
    )


def open_platform_history(settings: GenesysSettings, engine: Engine, clock: Clock) -> PlatformHistory:
    """Return the platform's history, read with the requests that urgent callers leave."""
    limit = settings.requests_per_minute
    budget = RequestBudget(engine, settings.client_id, limit, clock, is_background=True)
    return PlatformHistory(GenesysClient(settings, budget))
