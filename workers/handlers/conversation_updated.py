"""Move a conversation's routing state, where an update is a transition of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from workers.handlers.routing import RoutingState, refusal_of
from workers.parsing.timestamps import microseconds_of
from workers.tables.models import conversations
from workers.tables.rowset import TEXT, RowStatement, kinds_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection

    from workers.handlers import Skips
    from workers.parsing.events import ClaimedEvent, Event

_STATES: Final = RowStatement(
    """
    SELECT conversation_id, routing_status, routing_changed_at, routing_sequence
    FROM {rows} JOIN conversations ON conversation_id = {changed_id}
    WHERE routing_status IS NOT NULL
    """,
    {"changed_id": TEXT},
    (
        conversations.c.conversation_id,
        conversations.c.routing_status,
        conversations.c.routing_changed_at,
        conversations.c.routing_sequence,
    ),
)

_MOVE: Final = RowStatement(
    """
    UPDATE conversations SET routing_status = {routing_status}, routing_queue = {routing_queue},
        routing_changed_at = {routing_changed_at}, routing_sequence = {routing_sequence}
    FROM {rows} WHERE conversations.conversation_id = {conversation_id}
    """,
    kinds_of(
        conversations,
        "conversation_id",
        "routing_status",
        "routing_queue",
        "routing_changed_at",
        "routing_sequence",
    ),
)


def conversation_updated(connection: Connection, events: Sequence[ClaimedEvent], now_us: int) -> Skips:  # noqa: ARG001  # the shape of every handler
    """Apply the transitions in order and skip the rest.

    The rows are locked already (workers/tables/conversations.py): what is read here stands until the commit.
    """
    states = _read_states(connection, {each.event.conversation_id for each in events})
    moves: dict[str, Event] = {}
    skips: Skips = {}
    for each in events:
        event = each.event
        state = states.get(event.conversation_id, RoutingState())
        refusal = refusal_of(state, event.routing_status, event.occurred_at_us, event.sequence)
        if refusal is not None:
            skips[each.event_id] = refusal
            continue
        states[event.conversation_id] = RoutingState(
            event.routing_status, event.occurred_at_us, event.sequence
        )
        moves[event.conversation_id] = event
    if moves:
        _MOVE.execute(connection, [_row_of(event) for event in moves.values()])
    return skips


def _read_states(connection: Connection, conversation_ids: Iterable[str]) -> dict[str, RoutingState]:
    rows = _STATES.execute(connection, [(each,) for each in conversation_ids])
    return {
        conversation_id: RoutingState(status, microseconds_of(changed_at), sequence)
        for conversation_id, status, changed_at, sequence in rows
    }


def _row_of(event: Event) -> tuple[object, ...]:
    return (
        event.conversation_id,
        event.routing_status,
        event.routing_queue,
        event.occurred_at_us,
        event.sequence,
    )
