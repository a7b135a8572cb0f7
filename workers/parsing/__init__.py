"""Parse raw bodies into events: dialects, timestamps, keys, drift."""

from collections.abc import Set as AbstractSet

from messaging.errors import RejectedEventError
from workers.parsing.dialects import ANYTHING, VALUE, Fields, all_fields, guide_fields, read_events
from workers.parsing.drift import Drift, DriftNotes
from workers.parsing.events import (
    ALERTING,
    CONVERSATION_MESSAGE,
    CONVERSATION_NEW,
    CONVERSATION_UPDATED,
    ENDED,
    EVENT_TYPES,
    EVENTBRIDGE,
    GENESYS,
    GUIDE,
    QUEUED,
    RECEIPT,
    ROUTED,
    ROUTING_STATUSES,
    TYPING,
    Arrival,
    ClaimedEvent,
    Event,
    replay_event,
)
from workers.parsing.json_body import parse_body, read_identifiers
from workers.parsing.timestamps import microseconds_of, moment_of


def read_body(body: bytes, notes: DriftNotes, event_types: AbstractSet[str]) -> tuple[Event, ...]:
    """Parse a raw body: one event, or in the native dialect one for each kind in a list of events.

    The notes collect unknown names and values; the event types are those that have a handler.

    Raises:
        RejectedEventError: It is not a JSON object, or type, conversation or time is missing or malformed.
    """
    payload = parse_body(body)
    try:
        return read_events(payload, notes, event_types)
    except RecursionError:
        # Writing JSON goes a little deeper into the stack than reading it.
        raise RejectedEventError("too_deep", "body: nested too deeply") from None
