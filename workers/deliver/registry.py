"""Record the destinations, their subscriptions, and which of them get nothing for now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, select, update

from workers.db.engine import insert_into
from workers.db.models import destinations, subscriptions
from workers.parsing import moment_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from workers.deliver.destinations import Destination

OPERATOR: Final = "operator"
GONE: Final = "gone"

_ENTER: Final = insert_into(destinations, ("name", "registered_at"), "ON CONFLICT (name) DO NOTHING")
_SUBSCRIBE: Final = insert_into(
    subscriptions, ("event_type", "destination"), "ON CONFLICT (event_type, destination) DO NOTHING"
)


def register(connection: Connection, configured: Iterable[Destination], now_us: int) -> None:
    """Let the outbox make deliveries for these destinations too, from now on.

    No subscription is removed: another host may run with a newer file. That is an operator's decision.
    """
    wanted = {(event, each.name) for each in configured if each.enabled for event in each.events}
    if names := sorted({name for _, name in wanted}):
        _ENTER.execute(connection, [(name, now_us) for name in names])
        _SUBSCRIBE.execute(connection, sorted(wanted))


def subscribed_types(connection: Connection, name: str) -> list[str]:
    """Return the event types for which the outbox makes deliveries for a destination."""
    query = select(subscriptions.c.event_type).where(subscriptions.c.destination == name)
    return sorted(connection.execute(query).scalars())


def unsubscribe(connection: Connection, name: str) -> None:
    """Make no further deliveries for a destination; what waits for it stays."""
    connection.execute(delete(subscriptions).where(subscriptions.c.destination == name))


def pause(connection: Connection, name: str, now_us: int, because: str) -> bool:
    """Give a destination nothing until it is resumed; return whether that is new.

    What comes for it meanwhile waits. Each process notices before it takes anything more.
    """
    _ENTER.execute(connection, [(name, now_us)])
    paused = (
        update(destinations)
        .where(destinations.c.name == name, destinations.c.paused_at.is_(None))
        .values(paused_at=moment_of(now_us), paused_because=because)
        .returning(destinations.c.name)
    )
    return connection.execute(paused).first() is not None


def resume(connection: Connection, name: str) -> bool:
    """Deliver to a destination again; return whether it was paused."""
    resumed = (
        update(destinations)
        .where(destinations.c.name == name, destinations.c.paused_at.is_not(None))
        .values(paused_at=None, paused_because=None)
        .returning(destinations.c.name)
    )
    return connection.execute(resumed).first() is not None
