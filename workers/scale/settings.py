"""Read what the scale role is told, once, or refuse to start."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from messaging.environment import Environment
from messaging.errors import ConfigurationError
from messaging.log import FORMS, JSON, LEVELS
from workers.scale.decision import Bounds


@dataclass(frozen=True, slots=True)
class ScaleSettings:
    """What this role needs to know.

    Args:
        amqp_url: Names the virtual host.
        management_urls: Of the broker, for the queue's depth.
        database_url: For the backlogs of settle and deliver.
        has_destinations: Whether the file of the destinations exists; without it deliver does not run.
        bounds: Between what the number of workers moves.
        seconds: Between two looks.
        log_level: debug, info, warning or error.
        log_form: json or text.
    """

    amqp_url: str = field(repr=False)
    management_urls: tuple[str, ...] = field(repr=False)
    database_url: str = field(repr=False)
    has_destinations: bool
    bounds: Bounds
    seconds: float = 5.0
    log_level: str = "info"
    log_form: str = JSON


def read_scale_settings() -> ScaleSettings:
    """Read the settings from the environment.

    Raises:
        ConfigurationError: A variable is missing, malformed or contradicts another; the text names it.
    """
    environment = Environment()
    bounds = Bounds(
        floor=environment.integer("OM_SCALE_FLOOR", 1, minimum=0),
        ceiling=environment.integer("OM_SCALE_CEILING", 4, minimum=1),
        events_per_worker=environment.integer("OM_SCALE_EVENTS_PER_WORKER", 2000, minimum=1),
        cooldown=environment.seconds("OM_SCALE_COOLDOWN_SECONDS", 300.0),
    )
    if bounds.floor > bounds.ceiling:
        raise ConfigurationError("OM_SCALE_FLOOR must be at most OM_SCALE_CEILING")
    amqp_urls = environment.strings("OM_AMQP_URL")
    management_urls = environment.strings("OM_MANAGEMENT_URL")
    if not amqp_urls or not management_urls:
        raise ConfigurationError("OM_AMQP_URL and OM_MANAGEMENT_URL must name the broker: it tells the depth")
    return ScaleSettings(
        amqp_url=amqp_urls[0],
        management_urls=management_urls,
        database_url=environment.string("OM_DATABASE_URL"),
        has_destinations=Path(environment.string("OM_DESTINATIONS")).is_file(),
        bounds=bounds,
        seconds=environment.seconds("OM_SCALE_SECONDS", 5.0, minimum=0.1),
        log_level=environment.one_of("OM_LOG_LEVEL", LEVELS, "info"),
        log_form=environment.one_of("OM_LOG_FORMAT", FORMS, JSON),
    )
