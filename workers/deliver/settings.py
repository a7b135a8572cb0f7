"""Read what the deliver role is told, once, or refuse to start."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from messaging.environment import Environment
from messaging.errors import ConfigurationError
from messaging.log import FORMS, JSON, LEVELS
from workers.deliver.destinations import read_destinations

if TYPE_CHECKING:
    from workers.deliver.destinations import Destination


@dataclass(frozen=True, slots=True)
class DeliverSettings:
    """What a deliver process needs to know.

    Args:
        amqp_urls: The broker's nodes, for dead letters.
        database_url: PostgreSQL or SQLite.
        destinations: The services behind.
        stop_seconds: How long a stop may wait for answers.
        log_level: debug, info, warning or error.
        log_form: json or text.
    """

    amqp_urls: tuple[str, ...] = field(repr=False)
    database_url: str = field(repr=False)
    destinations: tuple[Destination, ...]
    stop_seconds: float = 20.0
    log_level: str = "info"
    log_form: str = JSON


def configured_destinations(environment: Environment) -> tuple[Destination, ...]:
    """Return the destinations of OM_DESTINATIONS; none where it is not set.

    Raises:
        ConfigurationError: The file cannot be read or is malformed.
    """
    path = environment.string("OM_DESTINATIONS")
    return read_destinations(path) if path else ()


def read_deliver_settings() -> DeliverSettings:
    """Read the settings from the environment.

    Raises:
        ConfigurationError: A variable or a destination's key is missing or malformed; the text names it.
    """
    environment = Environment()
    for name, purpose in (
        ("OM_DATABASE_URL", "the database"),
        ("OM_DESTINATIONS", "the file of the destinations"),
        ("OM_AMQP_URL", "a broker, which takes what cannot be delivered"),
    ):
        if not environment.string(name):
            raise ConfigurationError(f"{name} must name {purpose}")
    return DeliverSettings(
        amqp_urls=environment.strings("OM_AMQP_URL"),
        database_url=environment.string("OM_DATABASE_URL"),
        destinations=configured_destinations(environment),
        stop_seconds=environment.seconds("OM_STOP_SECONDS", 20.0),
        log_level=environment.one_of("OM_LOG_LEVEL", LEVELS, "info"),
        log_form=environment.one_of("OM_LOG_FORMAT", FORMS, JSON),
    )
