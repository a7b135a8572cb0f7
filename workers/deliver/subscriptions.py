"""Decide what destinations receive: subscribe and pause them; plan, abandon and resend their deliveries."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection, exists, func, literal, select, tuple_, update

from workers.db.engine import insert_into
from workers.db.models import dead_letters, deliveries, destinations, event_payloads, outbox, subscriptions
from workers.deliver.dead_letters import DEAD, make_dead_letter_id
from workers.deliver.destinations import Destination
from workers.deliver.parking import recall_parked
from workers.parsing import microseconds_of, moment_of

OPERATOR: Final = "operator"
GONE: Final = "gone"

BATCH_ROWS: Final = 500
"""Maximum number of deliveries that a transaction changes; small, so that its locks are short-lived."""

_ENTER: Final = insert_into(destinations, ("name", "registered_at"), "ON CONFLICT (name) DO NOTHING")
_SUBSCRIBE: Final = insert_into(
    subscriptions, ("event_type", "destination"), "ON CONFLICT (event_type, destination) DO NOTHING"
)
_D: Final = deliveries.c
_O: Final = outbox.c


def register(connection: Connection, configured: Iterable[Destination], now_us: int) -> None:
    """Subscribe the enabled destinations, so that the outbox's trigger plans deliveries for new events.

    Removes no subscription, because another host's file might be newer. Only operators remove subscriptions.
    """
    wanted = {
        (event_type, destination.name)
        for destination in configured
        if destination.enabled
        for event_type in destination.events
    }
    if names := sorted({name for _, name in wanted}):
        _ENTER.execute(connection, [(name, now_us) for name in names])
        _SUBSCRIBE.execute(connection, sorted(wanted))


def subscribed_types(connection: Connection, name: str) -> list[str]:
    """Return the event types that a destination is subscribed to."""
    query = select(subscriptions.c.event_type).where(subscriptions.c.destination == name)
    return sorted(connection.execute(query).scalars())


def unsubscribe(connection: Connection, name: str) -> int:
    """Remove a destination's subscriptions and return their number; its waiting deliveries stay."""
    return connection.execute(sa.delete(subscriptions).where(subscriptions.c.destination == name)).rowcount


def pause(connection: Connection, name: str, now_us: int, reason: str) -> bool:
    """Pause a destination: its deliveries wait until it is resumed. Return False if it was already paused."""
    _ENTER.execute(connection, [(name, now_us)])
    paused = (
        update(destinations)
        .where(destinations.c.name == name, destinations.c.paused_at.is_(None))
        .values(paused_at=moment_of(now_us), paused_because=reason)
    )
    return connection.execute(paused).rowcount > 0


def resume(connection: Connection, name: str) -> bool:
    """Resume a paused destination; return False if it was not paused."""
    resumed = (
        update(destinations)
        .where(destinations.c.name == name, destinations.c.paused_at.is_not(None))
        .values(paused_at=None, paused_because=None)
    )
    return connection.execute(resumed).rowcount > 0


def newest_entry(connection: Connection) -> int:
    """Return the id of the outbox's newest entry; 0 if the outbox is empty."""
    return connection.scalar(select(func.max(_O.id))) or 0


def count(connection: Connection, chosen: ColumnElement[bool]) -> int:
    """Return how many deliveries or outbox entries meet a condition."""
    return connection.scalar(select(func.count()).where(chosen)) or 0


def plan_some(connection: Connection, name: str, unplanned: ColumnElement[bool], now_us: int) -> int:
    """Plan up to BATCH_ROWS deliveries, oldest first; return their number. Call this until it returns 0."""
    # Lock the destination's row, so that another backfill of this destination waits for this transaction.
    connection.execute(select(destinations.c.name).where(destinations.c.name == name).with_for_update())
    due_at = literal(moment_of(now_us), _D.due_at.type)
    some = (
        select(_O.id, literal(name), _O.conversation_id, due_at, literal(0))
        .where(unplanned)
        .order_by(_O.id)
        .limit(BATCH_ROWS)
    )
    columns = ["outbox_id", "destination", "conversation_id", "due_at", "attempts"]
    plan = sa.insert(deliveries).from_select(columns, some).returning(_D.outbox_id)
    return len(connection.execute(plan).all())


def abandon_some(connection: Connection, waiting: ColumnElement[bool], now_us: int) -> int:
    """Abandon up to BATCH_ROWS waiting deliveries; return their number. Call this until it returns 0."""
    # The rows are locked, so a delivery that ends in the meantime is not counted.
    some = select(_D.outbox_id, _D.destination).where(waiting).limit(BATCH_ROWS).with_for_update()
    keys = [(row[0], row[1]) for row in connection.execute(some)]
    if not keys:
        return 0
    abandoned = (
        update(deliveries)
        .where(tuple_(_D.outbox_id, _D.destination).in_(keys), _D.outcome.is_(None).is_(True))
        .values(outcome="abandoned", finished_at=moment_of(now_us))
        .returning(_D.destination, _D.conversation_id)
    )
    recall_parked(connection, [(row[0], row[1]) for row in connection.execute(abandoned)], now_us)
    return len(keys)


def choose_waiting(name: str, through: int) -> ColumnElement[bool]:
    """Return the condition for a destination's waiting deliveries up to the outbox id *through*."""
    return (_D.destination == name) & _D.outcome.is_(None) & (_D.outbox_id <= through)


def choose_old(created_before: datetime) -> ColumnElement[bool]:
    """Return the condition for waiting deliveries whose outbox entry is older than *created_before*."""
    return _D.outcome.is_(None) & exists().where(_O.id == _D.outbox_id, _O.created_at < created_before)


def choose_unplanned(name: str, since: datetime, through: int) -> ColumnElement[bool]:
    """Return the condition for outbox entries of subscribed types that can be sent but have no delivery."""
    has_body = _O.event_id.is_(None) | exists().where(event_payloads.c.event_id == _O.event_id)
    is_subscribed = exists().where(
        subscriptions.c.destination == name, subscriptions.c.event_type == _O.event_type
    )
    is_planned = exists().where(_D.outbox_id == _O.id, _D.destination == name)
    return (_O.created_at >= since) & (_O.id <= through) & has_body & is_subscribed & ~is_planned


def choose_dead(
    names: Sequence[str], before: datetime, since: datetime | None, conversation: str | None
) -> ColumnElement[bool]:
    """Return the condition for deliveries to the named destinations that were given up before *before*."""
    chosen = (_D.outcome == DEAD) & _D.destination.in_(names) & (_D.finished_at < before)
    if since is not None:
        chosen &= _D.finished_at >= since
    return chosen if conversation is None else chosen & (_D.conversation_id == conversation)


def count_dead(connection: Connection, chosen: ColumnElement[bool]) -> dict[str, int]:
    """Return the number of deliveries that meet a condition, by destination."""
    query = select(_D.destination, func.count()).where(chosen).group_by(_D.destination)
    return {row[0]: row[1] for row in connection.execute(query.order_by(_D.destination))}


def resend(connection: Connection, chosen: ColumnElement[bool], intervention_id: str, now_us: int) -> int:
    """Make up to BATCH_ROWS given-up deliveries due again, with their old ids; begin with the oldest.

    Returns their number; call this until it returns 0. The intervention must already be recorded.
    """
    some = (
        select(_D.outbox_id, _D.destination, _O.created_at)
        .join(outbox, _O.id == _D.outbox_id)
        .where(chosen)
        .order_by(_D.outbox_id, _D.destination)
        .limit(BATCH_ROWS)
        .with_for_update(of=deliveries)
    )
    rows = [(row[0], row[1], microseconds_of(row[2])) for row in connection.execute(some)]
    if not rows:
        return 0
    keys = [(outbox_id, name) for outbox_id, name, _ in rows]
    again = update(deliveries).where(tuple_(_D.outbox_id, _D.destination).in_(keys))
    cleared = ("outcome", "first_attempt_at", "refused_at", "finished_at", "dead_lettered_at")
    connection.execute(again.values(**dict.fromkeys(cleared), attempts=0, due_at=moment_of(now_us)))
    # The dead letters stay in the queue; their records show the operator's decision. If a delivery's row
    # could not be read, the id of its dead letter contains the time 0.
    ids = [make_dead_letter_id(name, outbox_id, at) for outbox_id, name, us in rows for at in (us, 0)]
    decided = update(dead_letters).where(dead_letters.c.message_id.in_(ids))
    connection.execute(decided.values(intervention_id=intervention_id, decided_at=moment_of(now_us)))
    return len(rows)
