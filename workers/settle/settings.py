"""Read what the settle role is told, once, or refuse to start."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from messaging.environment import Environment
from messaging.errors import ConfigurationError
from messaging.log import FORMS, JSON, LEVELS
from workers.genesys import read_genesys_settings
from workers.settings import read_window

if TYPE_CHECKING:
    from workers.genesys import GenesysSettings
    from workers.tables import WindowBounds


@dataclass(frozen=True, slots=True)
class SettleSettings:
    """What a settle process needs to know.

    Args:
        database_url: PostgreSQL or SQLite.
        window: How long a conversation's window is open.
        genesys: The platform, or None where updates are applied as they are notified.
        log_level: debug, info, warning or error.
        log_form: json or text.
    """

    database_url: str = field(repr=False)
    window: WindowBounds
    genesys: GenesysSettings | None
    log_level: str = "info"
    log_form: str = JSON


def read_settle_settings() -> SettleSettings:
    """Read the settings from the environment.

    Raises:
        ConfigurationError: A variable is missing or malformed; the text names it.
    """
    environment = Environment()
    database_url = environment.string("OM_DATABASE_URL")
    if not database_url:
        raise ConfigurationError("OM_DATABASE_URL must name the database")
    return SettleSettings(
        database_url=database_url,
        window=read_window(environment),
        genesys=read_genesys_settings(environment),
        log_level=environment.one_of("OM_LOG_LEVEL", LEVELS, "info"),
        log_form=environment.one_of("OM_LOG_FORMAT", FORMS, JSON),
    )
