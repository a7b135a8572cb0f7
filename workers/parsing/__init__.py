"""Parse raw bodies of all dialects into events, build the events' keys, and note drift."""

from workers.parsing.dialects import ANYTHING, VALUE, Fields, all_fields, guide_fields, read_body
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
from workers.parsing.idempotency import literal_key
from workers.parsing.json_body import parse_body, read_identifiers
from workers.parsing.timestamps import microseconds_of, moment_of, parse_timestamp
