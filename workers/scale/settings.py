"""Read the settings of the scale role, or refuse to start."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from messaging.environment import Environment
from messaging.errors import ConfigurationError
from workers.scale.scaler import FleetLimits

EVENTS_PER_WORKER: Final = 2000
"""Fewer than an intake worker takes in a second, so that help is started early, and with the ceiling far
below OM_QUEUE_DEPTH_HIGH, so that all work before an event is refused."""

COOLDOWN_SECONDS: Final = 300.0
"""Longer than the time between two bursts of a usual day."""

LOOK_SECONDS: Final = 5.0
"""Between two looks: a started worker works some seconds later anyway."""


@dataclass(frozen=True, slots=True)
class ScaleSettings:
    """Settings of the scale role; deploy/environment.example describes them."""

    amqp_url: str = field(repr=False)
    management_urls: tuple[str, ...] = field(repr=False)
    database_url: str = field(repr=False)
    has_destinations: bool
    limits: FleetLimits
    seconds: float = LOOK_SECONDS


def read_scale_settings() -> ScaleSettings:
    """Read the settings from the environment.

    Raises:
        ConfigurationError: A variable is missing, malformed or contradicts another; the text names it.
    """
    environment = Environment()
    floor = environment.integer("OM_SCALE_FLOOR", 1, minimum=0)
    ceiling = environment.integer("OM_SCALE_CEILING", 4, minimum=1)
    if floor > ceiling:
        raise ConfigurationError("OM_SCALE_FLOOR must be at most OM_SCALE_CEILING")
    amqp_urls = environment.strings("OM_AMQP_URL")
    management_urls = environment.strings("OM_MANAGEMENT_URL")
    if not amqp_urls or not management_urls:
        raise ConfigurationError("OM_AMQP_URL and OM_MANAGEMENT_URL must name the broker, for the depth")
    return ScaleSettings(
        amqp_url=amqp_urls[0],
        management_urls=management_urls,
        database_url=environment.string("OM_DATABASE_URL"),
        has_destinations=Path(environment.string("OM_DESTINATIONS")).is_file(),
        limits=FleetLimits(floor, ceiling, EVENTS_PER_WORKER, COOLDOWN_SECONDS),
    )
