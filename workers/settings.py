"""Settings of an intake worker."""

from dataclasses import dataclass, field

from messaging.environment import Environment
from messaging.errors import ConfigurationError
from workers.filters import Filter, FilterError, check_filter
from workers.parsing import ROUTING_STATUSES
from workers.retain import EVENT_DAYS

MAX_BATCH_EVENTS = 1000
"""The prefetch is three batches, and a quorum queue delivers about 2,000 messages at a time."""

HANDLER_SECONDS = 25.0
"""An event hangs in a batch and twice alone, so its neighbours wait for three times this and three starts of
the worker: about 100 s for each event that hangs."""


@dataclass(frozen=True, slots=True)
class IntakeSettings:
    """Settings of an intake worker.

    Args:
        amqp_urls: The broker's nodes, tried in turn.
        database_url: PostgreSQL or SQLite.
        transitions: The routing states whose updates are kept.
        batch_events: Maximum events of one transaction.
        batch_seconds: How long the first event of a batch waits for others under load.
        handler_seconds: How long a handler may take with a batch before the worker ends and starts again.
        handler_attempts: How often an event is processed whose handler fails.
        event_filter: Decides which events have an effect; None: all.
        retention_days: How long events are kept; an older event of a webhook has no effect.
        store_typing: Whether typing is recorded, and not only counted.
    """

    amqp_urls: tuple[str, ...] = field(repr=False)
    database_url: str = field(repr=False)
    transitions: frozenset[str] = ROUTING_STATUSES
    batch_events: int = 100
    batch_seconds: float = 0.02
    handler_seconds: float = HANDLER_SECONDS
    handler_attempts: int = 3
    event_filter: Filter | None = None
    retention_days: int = EVENT_DAYS
    store_typing: bool = False


def read_intake_settings() -> IntakeSettings:
    """Read the settings from the environment.

    Raises:
        ConfigurationError: A variable is missing or malformed; the text names it.
    """
    environment = Environment()
    settings = IntakeSettings(
        amqp_urls=environment.strings("OM_AMQP_URL"),
        database_url=environment.required("OM_DATABASE_URL", "the database"),
        transitions=frozenset(environment.strings("OM_ROUTING_TRANSITIONS", tuple(ROUTING_STATUSES))),
        batch_events=environment.integer("OM_BATCH_EVENTS", 100, minimum=1),
        batch_seconds=environment.seconds("OM_BATCH_SECONDS", 0.02),
        handler_seconds=environment.seconds("OM_HANDLER_SECONDS", HANDLER_SECONDS, minimum=1.0),
        handler_attempts=environment.integer("OM_HANDLER_ATTEMPTS", 3, minimum=1),
        event_filter=read_event_filter(environment),
        retention_days=environment.integer("OM_RETENTION_DAYS", EVENT_DAYS, minimum=1),
        store_typing=environment.boolean("OM_STORE_TYPING", default=False),
    )
    if settings.batch_events > MAX_BATCH_EVENTS:
        raise ConfigurationError(f"OM_BATCH_EVENTS must be at most {MAX_BATCH_EVENTS}")
    return settings


def read_event_filter(environment: Environment) -> Filter | None:
    """Return the filter of OM_EVENT_FILTER; None if it is not set.

    Raises:
        ConfigurationError: It is not a filter, or names a field that no body has.
    """
    expression = environment.string("OM_EVENT_FILTER")
    try:
        return check_filter(expression) if expression else None
    except FilterError as error:
        raise ConfigurationError(f"OM_EVENT_FILTER: {error}") from None
