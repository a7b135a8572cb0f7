"""Read how often, and what, is compared with the platform."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from messaging.environment import Environment
from messaging.errors import ConfigurationError
from messaging.log import FORMS, JSON, LEVELS
from workers.genesys import GenesysClient, RequestBudget, read_genesys_settings
from workers.reconcile.bounds import DAY_US, HORIZON_DAYS
from workers.reconcile.platform_history import PlatformHistory
from workers.retain import EVENT_DAYS

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from messaging.clock import Clock
    from workers.genesys import GenesysSettings

INTERVAL_SECONDS: Final = 900.0
"""The guide's: "every fifteen minutes"."""

MARGIN_US: Final = 180_000_000
"""Above the 85 seconds of the platform's retries and the two that a window takes; its analytics are nearly up
to date. An event may be under way for so long before it counts as missing."""


@dataclass(frozen=True, slots=True)
class ReconcileSettings:
    """What this role needs to know.

    Args:
        genesys: The platform.
        amqp_urls: The broker's nodes, tried in turn.
        database_url: PostgreSQL or SQLite.
        interval_seconds: From the beginning of one comparison to that of the next.
        retention_days: What is older may be deleted here, and would look missing.
        log_level: debug, info, warning or error.
        log_form: json or text.
    """

    genesys: GenesysSettings
    amqp_urls: tuple[str, ...] = field(repr=False)
    database_url: str = field(repr=False)
    interval_seconds: float = INTERVAL_SECONDS
    retention_days: int = EVENT_DAYS
    log_level: str = "info"
    log_form: str = JSON

    @property
    def interval_us(self) -> int:
        """The interval in microseconds."""
        return round(self.interval_seconds * 1_000_000)

    @property
    def horizon_us(self) -> int:
        """How far back is compared, in microseconds: no further than events are kept."""
        return round(min(HORIZON_DAYS, self.retention_days - 0.5) * DAY_US)


def read_reconcile_settings() -> ReconcileSettings:
    """Read the settings from the environment.

    Raises:
        ConfigurationError: A variable is missing or malformed; the text names it.
    """
    environment = Environment()
    genesys = read_genesys_settings(environment)
    if genesys is None:
        raise ConfigurationError("OM_GENESYS_REGION must name the platform whose history is compared")
    settings = ReconcileSettings(
        genesys,
        amqp_urls=environment.strings("OM_AMQP_URL"),
        database_url=environment.string("OM_DATABASE_URL"),
        interval_seconds=environment.seconds("OM_RECONCILE_SECONDS", INTERVAL_SECONDS, minimum=10.0),
        retention_days=environment.integer("OM_RETENTION_DAYS", EVENT_DAYS, minimum=1),
        log_level=environment.one_of("OM_LOG_LEVEL", LEVELS, "info"),
        log_form=environment.one_of("OM_LOG_FORMAT", FORMS, JSON),
    )
    if not settings.database_url:
        raise ConfigurationError("OM_DATABASE_URL must name the database")
    return settings


def platform_history_of(settings: GenesysSettings, engine: Engine, clock: Clock) -> PlatformHistory:
    """Return the platform's history, asked for with the requests that the urgent callers leave."""
    limit = settings.requests_per_minute
    budget = RequestBudget(engine, settings.client_id, limit, clock, is_background=True)
    return PlatformHistory(GenesysClient(settings, budget))
