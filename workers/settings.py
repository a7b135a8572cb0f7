"""Define the settings of the roles: their environment variables, and checks that involve several settings."""

from dataclasses import dataclass
from functools import partial
from typing import Final

from messaging.environment import Environment
from messaging.errors import ConfigurationError
from messaging.settings import WorkerSettings, positive, required, setting
from workers.deliver import Destination, configured_destinations
from workers.filters import Filter, FilterError, check_filter
from workers.genesys import GenesysSettings, read_genesys_settings
from workers.retain import EVENT_DAYS
from workers.scale import FleetLimits

MAX_BATCH_EVENTS: Final = 1000
"""Largest batch. A consumer prefetches three batches, but a queue delivers about 2,000 events at a time."""

EVENTS_PER_WORKER: Final = 2000
"""One worker runs for every 2,000 waiting events. An intake worker processes more than that in a second, and
all workers are running long before the queue reaches OM_QUEUE_DEPTH_HIGH and the edge refuses events."""

COOLDOWN_SECONDS: Final = 300.0
"""A worker is stopped once fewer have been enough for this long; pauses between bursts are shorter."""


def read_event_filter(environment: Environment, name: str, default: Filter | None = None) -> Filter | None:
    """Return the configured filter; refuse a filter that is malformed or names a field that no body has."""
    expression = environment.string(name)
    try:
        return check_filter(expression) if expression else default
    except FilterError as error:
        raise ConfigurationError(f"{name}: {error}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeSettings(WorkerSettings):
    """Settings of an intake worker; deploy/environment.example explains each setting."""

    amqp_urls: tuple[str, ...] = setting("OM_AMQP_URL", Environment.strings, (), is_secret=True)
    batch_events: int = setting("OM_BATCH_EVENTS", positive, 100)
    batch_seconds: float = setting("OM_BATCH_SECONDS", Environment.seconds, 0.02)
    handler_attempts: int = setting("OM_HANDLER_ATTEMPTS", positive, 3)
    event_filter: Filter | None = setting("OM_EVENT_FILTER", read_event_filter, None)
    retention_days: int = setting("OM_RETENTION_DAYS", positive, EVENT_DAYS)
    store_typing: bool = setting("OM_STORE_TYPING", Environment.boolean, False)

    def __post_init__(self) -> None:
        """Refuse batches that are larger than MAX_BATCH_EVENTS."""
        if self.batch_events > MAX_BATCH_EVENTS:
            raise ConfigurationError(f"OM_BATCH_EVENTS must be at most {MAX_BATCH_EVENTS}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SettleSettings(WorkerSettings):
    """Settings of a settle process; deploy/environment.example explains each setting."""

    genesys: GenesysSettings | None = setting(
        "OM_GENESYS_REGION", lambda environment, *_: read_genesys_settings(environment), None
    )
    give_up_seconds: float = setting(
        "OM_ROUTING_GIVE_UP_SECONDS", partial(Environment.seconds, minimum=20.0), 600.0
    )
    apply_unverified_seconds: float = setting("OM_APPLY_UNVERIFIED_SECONDS", Environment.seconds, 0.0)


def _read_platform_for_receipts(
    environment: Environment, name: str, default: GenesysSettings | None
) -> GenesysSettings | None:
    # If OM_FAILED_RECEIPTS is not set, deliver needs no credentials for the platform.
    return read_genesys_settings(environment) if environment.strings(name) else default


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverSettings(WorkerSettings):
    """Settings of a deliver process; deploy/environment.example explains each setting."""

    amqp_urls: tuple[str, ...] = setting("OM_AMQP_URL", Environment.strings, (), is_secret=True)
    path: str = setting("OM_DESTINATIONS", required("the destinations file"), "")
    destinations: tuple[Destination, ...] = setting("OM_DESTINATIONS", configured_destinations, ())
    failed_receipts: frozenset[str] = setting(
        "OM_FAILED_RECEIPTS", lambda environment, name, _: frozenset(environment.strings(name)), frozenset()
    )
    genesys: GenesysSettings | None = setting("OM_FAILED_RECEIPTS", _read_platform_for_receipts, None)

    def __post_init__(self) -> None:
        """Require a broker and, for Failed receipts, known destinations and the platform."""
        if not self.amqp_urls:
            raise ConfigurationError("OM_AMQP_URL must name the broker, to publish dead letters")
        if unknown := sorted(self.failed_receipts - {destination.name for destination in self.destinations}):
            names = ", ".join(unknown)
            raise ConfigurationError(
                f"OM_FAILED_RECEIPTS must name destinations of OM_DESTINATIONS, not {names}"
            )
        if self.failed_receipts and self.genesys is None:
            raise ConfigurationError("OM_FAILED_RECEIPTS needs the platform: set OM_GENESYS_REGION")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleSettings(WorkerSettings):
    """Settings of the scale role; deploy/environment.example explains each setting."""

    amqp_urls: tuple[str, ...] = setting("OM_AMQP_URL", Environment.strings, (), is_secret=True)
    management_urls: tuple[str, ...] = setting("OM_MANAGEMENT_URL", Environment.strings, (), is_secret=True)
    destinations: str = setting("OM_DESTINATIONS", Environment.string, "")
    floor: int = setting("OM_SCALE_FLOOR", Environment.integer, 1)
    ceiling: int = setting("OM_SCALE_CEILING", positive, 4)

    def __post_init__(self) -> None:
        """Refuse settings that contradict each other."""
        if self.floor > self.ceiling:
            raise ConfigurationError("OM_SCALE_FLOOR must be at most OM_SCALE_CEILING")
        if not self.amqp_urls or not self.management_urls:
            raise ConfigurationError("OM_AMQP_URL and OM_MANAGEMENT_URL must be set, to read queue depths")

    @property
    def limits(self) -> FleetLimits:
        """How many workers each role may have, and how fast that number changes."""
        return FleetLimits(self.floor, self.ceiling, EVENTS_PER_WORKER, COOLDOWN_SECONDS)
