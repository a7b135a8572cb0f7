"""Find what a person runs again, and put on record what people decide."""

from workers.tables.operating.history import (
    PastChoice,
    PastEvent,
    Unfinished,
    count_past_events,
    newest_event_id,
    past_events,
    unfinished_replay,
)
from workers.tables.operating.intervention_records import (
    DISCARD_LETTERS,
    OPERATOR_SESSION,
    REPLAY_EVENTS,
    REPLAY_LETTERS,
    RESEND_DELIVERIES,
    DeathRecord,
    Intervention,
    begin_intervention,
    death_records,
    decide,
    end_intervention,
    keep_discarded,
    note_progress,
)

__all__ = [
    "DISCARD_LETTERS",
    "OPERATOR_SESSION",
    "REPLAY_EVENTS",
    "REPLAY_LETTERS",
    "RESEND_DELIVERIES",
    "DeathRecord",
    "Intervention",
    "PastChoice",
    "PastEvent",
    "Unfinished",
    "begin_intervention",
    "count_past_events",
    "death_records",
    "decide",
    "end_intervention",
    "keep_discarded",
    "newest_event_id",
    "note_progress",
    "past_events",
    "unfinished_replay",
]
