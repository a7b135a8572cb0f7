"""Turn what the platform posts into our event, each dialect by its own module."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from messaging.errors import RejectedEventError
from workers.parsing.dialects.detail_events import read_detail_event
from workers.parsing.dialects.genesys import read_genesys_events
from workers.parsing.dialects.guide import read_guide_event
from workers.parsing.dialects.known_fields import ANYTHING, VALUE, Fields, all_fields, guide_fields

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

    from workers.parsing.drift import DriftNotes
    from workers.parsing.events import Event

__all__ = ["ANYTHING", "VALUE", "Fields", "all_fields", "guide_fields", "read_events"]


def read_events(
    payload: Mapping[str, Any], notes: DriftNotes, event_types: AbstractSet[str]
) -> tuple[Event, ...]:
    """Tell the dialect by the payload's shape and read its events: one nearly always.

    Args:
        payload: The parsed body.
        notes: Takes note of what is unknown.
        event_types: The types that have a handler.

    Raises:
        RejectedEventError: It is missing or malformed what the event is, whose, or when.
    """
    if "eventType" in payload:
        return (read_guide_event(payload, notes, event_types),)
    if "type" in payload:
        return read_genesys_events(payload, notes, event_types)
    if "detail-type" in payload or "topicName" in payload:
        return (read_detail_event(payload, notes, event_types),)
    raise RejectedEventError("missing_field", "eventType: is missing")
