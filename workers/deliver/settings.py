"""Read what the deliver role is told, once, or refuse to start."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from messaging.environment import Environment
from messaging.errors import ConfigurationError
from messaging.log import FORMS, JSON, LEVELS
from workers.deliver.destinations import read_destinations
from workers.genesys import GenesysSettings, read_genesys_settings

if TYPE_CHECKING:
    from workers.deliver.destinations import Destination


@dataclass(frozen=True, slots=True)
class DeliverSettings:
    """What a deliver process needs to know.

    Args:
        amqp_urls: The broker's nodes, for dead letters.
        database_url: PostgreSQL or SQLite.
        destinations: The services behind.
        failed_receipts: Destinations of whose giving up the agent is told.
        genesys: The way to the platform, for that.
        stop_seconds: How long a stop may wait for answers.
        log_level: debug, info, warning or error.
        log_form: json or text.
        access_log: Whether each attempt gets a line.
    """

    amqp_urls: tuple[str, ...] = field(repr=False)
    database_url: str = field(repr=False)
    destinations: tuple[Destination, ...]
    failed_receipts: frozenset[str] = frozenset()
    genesys: GenesysSettings | None = None
    stop_seconds: float = 4.0
    log_level: str = "info"
    log_form: str = JSON
    access_log: bool = False


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
    destinations = configured_destinations(environment)
    failed_receipts = _failed_receipts(environment, destinations)
    return DeliverSettings(
        amqp_urls=environment.strings("OM_AMQP_URL"),
        database_url=environment.string("OM_DATABASE_URL"),
        destinations=destinations,
        failed_receipts=failed_receipts,
        genesys=read_genesys_settings(environment) if failed_receipts else None,
        stop_seconds=environment.seconds("OM_STOP_SECONDS", 4.0),
        log_level=environment.one_of("OM_LOG_LEVEL", LEVELS, "info"),
        log_form=environment.one_of("OM_LOG_FORMAT", FORMS, JSON),
        access_log=environment.boolean("OM_ACCESS_LOG", default=False),
    )


def _failed_receipts(environment: Environment, destinations: tuple[Destination, ...]) -> frozenset[str]:
    """Read of whose giving up the agents are told."""
    names = frozenset(environment.strings("OM_FAILED_RECEIPTS"))
    unknown = sorted(names - {each.name for each in destinations})
    if unknown:
        raise ConfigurationError(
            f"OM_FAILED_RECEIPTS must name destinations of OM_DESTINATIONS: {', '.join(unknown)} is none"
        )
    if names and read_genesys_settings(environment) is None:
        raise ConfigurationError("OM_FAILED_RECEIPTS needs the platform: set OM_GENESYS_REGION")
    return names
