"""Read how long things are kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from messaging.environment import Environment
from messaging.errors import ConfigurationError
from messaging.log import FORMS, JSON, LEVELS

PAYLOAD_DAYS: Final = 30
"""As long as the events themselves: who replays one may need its body."""

EVENT_DAYS: Final = 30
"""Far beyond any retry of the platform's; what is deleted is no duplicate any more when it comes again."""


@dataclass(frozen=True, slots=True)
class RetainSettings:
    """What this role needs to know.

    Args:
        database_url: PostgreSQL or SQLite.
        payload_days: How long raw bodies are kept, those of conflicts and discarded letters too; what a
            destination has not got keeps its body until it has.
        event_days: How long events are kept, and all that hangs on them.
        log_level: debug, info, warning or error.
        log_form: json or text.
    """

    database_url: str = field(repr=False)
    payload_days: int = PAYLOAD_DAYS
    event_days: int = EVENT_DAYS
    log_level: str = "info"
    log_form: str = JSON


def read_retain_settings() -> RetainSettings:
    """Read the settings from the environment.

    Raises:
        ConfigurationError: A variable is missing or malformed; the text names it.
    """
    environment = Environment()
    settings = RetainSettings(
        database_url=environment.string("OM_DATABASE_URL"),
        payload_days=environment.integer("OM_PAYLOAD_RETENTION_DAYS", PAYLOAD_DAYS, minimum=1),
        event_days=environment.integer("OM_RETENTION_DAYS", EVENT_DAYS, minimum=1),
        log_level=environment.one_of("OM_LOG_LEVEL", LEVELS, "info"),
        log_form=environment.one_of("OM_LOG_FORMAT", FORMS, JSON),
    )
    if not settings.database_url:
        raise ConfigurationError("OM_DATABASE_URL must name the database")
    return settings
