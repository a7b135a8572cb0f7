"""Read the settings of the deliver role, or refuse to start."""

from dataclasses import dataclass, field

from messaging.environment import Environment
from messaging.errors import ConfigurationError
from workers.deliver.destinations import Destination, read_destinations
from workers.genesys import GenesysSettings, read_genesys_settings


@dataclass(frozen=True, slots=True)
class DeliverSettings:
    """Settings of a deliver process; deploy/environment.example describes them."""

    amqp_urls: tuple[str, ...] = field(repr=False)
    database_url: str = field(repr=False)
    destinations: tuple[Destination, ...]
    failed_receipts: frozenset[str] = frozenset()
    genesys: GenesysSettings | None = None


def configured_destinations(environment: Environment) -> tuple[Destination, ...]:
    """Return the destinations of OM_DESTINATIONS; none if it is not set.

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
    environment.required("OM_DESTINATIONS", "the file of the destinations")
    environment.required("OM_AMQP_URL", "the broker, which gets dead letters")
    destinations = configured_destinations(environment)
    failed_receipts = frozenset(environment.strings("OM_FAILED_RECEIPTS"))
    genesys = read_genesys_settings(environment) if failed_receipts else None
    if unknown := sorted(failed_receipts - {destination.name for destination in destinations}):
        names = ", ".join(unknown)
        raise ConfigurationError(f"OM_FAILED_RECEIPTS must name destinations of OM_DESTINATIONS, not {names}")
    if failed_receipts and genesys is None:
        raise ConfigurationError("OM_FAILED_RECEIPTS needs the platform: set OM_GENESYS_REGION")
    return DeliverSettings(
        amqp_urls=environment.strings("OM_AMQP_URL"),
        database_url=environment.required("OM_DATABASE_URL", "the database"),
        destinations=destinations,
        failed_receipts=failed_receipts,
        genesys=genesys,
    )
