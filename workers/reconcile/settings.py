"""Read how often, and what, is compared with the platform."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from messaging.environment import Environment
from messaging.errors import ConfigurationError
from messaging.log import FORMS, JSON, LEVELS
from workers.genesys import GenesysClient, RequestBudget, read_genesys_settings
from workers.reconcile.bounds import HORIZON_DAYS
from workers.reconcile.platform_history import PlatformHistory
from workers.retain import EVENT_DAYS

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from messaging.clock import Clock
    from workers.genesys import GenesysSettings

INTERVAL_SECONDS: Final = 900.0
"""The guide's: "every fifteen minutes"."""

MARGIN_SECONDS: Final = 180.0
"""Above the 85 seconds of the platform's retries and the two that a window takes; its analytics are nearly up
to date."""


@dataclass(frozen=True, slots=True)
class ReconcileSettings:
    """What this role needs to know.

    Args:
        genesys: The platform.
        amqp_urls: The broker's nodes, tried in turn.
        database_url: PostgreSQL or SQLite.
        interval_seconds: From the beginning of one comparison to that of the next.
        margin_seconds: How long an event may be on its way before it counts as missing.
        horizon_days: How far back is compared.
        receipts: Whether receipts are compared.
        retention_days: What is older may be deleted here, and would look missing.
        log_level: debug, info, warning or error.
        log_form: json or text.
    """

    genesys: GenesysSettings
    amqp_urls: tuple[str, ...] = field(repr=False)
    database_url: str = field(repr=False)
    interval_seconds: float = INTERVAL_SECONDS
    margin_seconds: float = MARGIN_SECONDS
    horizon_days: int = HORIZON_DAYS
    receipts: bool = True
    retention_days: int = EVENT_DAYS
    log_level: str = "info"
    log_form: str = JSON

    @property
    def interval_us(self) -> int:
        """The interval in microseconds."""
        return round(self.interval_seconds * 1_000_000)

    @property
    def margin_us(self) -> int:
        """The margin in microseconds."""
        return round(self.margin_seconds * 1_000_000)


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
        margin_seconds=environment.seconds("OM_RECONCILE_MARGIN_SECONDS", MARGIN_SECONDS),
        horizon_days=environment.integer("OM_RECONCILE_DAYS", HORIZON_DAYS, minimum=1),
        receipts=environment.boolean("OM_RECONCILE_RECEIPTS", default=True),
        retention_days=environment.integer("OM_RETENTION_DAYS", EVENT_DAYS, minimum=1),
        log_level=environment.one_of("OM_LOG_LEVEL", LEVELS, "info"),
        log_form=environment.one_of("OM_LOG_FORMAT", FORMS, JSON),
    )
    if not settings.database_url:
        raise ConfigurationError("OM_DATABASE_URL must name the database")
    if settings.horizon_days >= settings.retention_days:
        raise ConfigurationError(
            "OM_RECONCILE_DAYS must be below OM_RETENTION_DAYS: what is deleted looks missing"
        )
    return settings


def platform_history_of(settings: GenesysSettings, engine: Engine, clock: Clock) -> PlatformHistory:
    """Return the platform's history, asked for with the requests that the urgent callers leave."""
    limit = settings.requests_per_minute
    budget = RequestBudget(engine, settings.client_id, limit, clock, is_background=True)
    return PlatformHistory(GenesysClient(settings, budget))
