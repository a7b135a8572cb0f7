"""Record what operators decide, and find the dead letters and events that they decide about."""

from workers.db.interventions.dead_letters import (
    DeadLetterFilter,
    count_open_dead_letters,
    find_dead_letter,
    find_recorded,
    keep_discarded,
    list_open_dead_letters,
    match_dead_letters,
    record_decision,
    record_execution,
)
from workers.db.interventions.erasure import (
    SEARCH_ROWS,
    encode_needles,
    erase_conversations,
    find_conversations,
    find_last_event_id,
)
from workers.db.interventions.past_events import (
    PastEvent,
    PastEventFilter,
    UnfinishedReplay,
    count_past_events,
    find_unfinished_replay,
    newest_event_id,
    read_past_events,
)
from workers.db.interventions.records import (
    OPERATOR_SESSION,
    Action,
    Intervention,
    begin_intervention,
    end_intervention,
    record_progress,
)

__all__ = [
    "OPERATOR_SESSION",
    "SEARCH_ROWS",
    "Action",
    "DeadLetterFilter",
    "Intervention",
    "PastEvent",
    "PastEventFilter",
    "UnfinishedReplay",
    "begin_intervention",
    "count_open_dead_letters",
    "count_past_events",
    "encode_needles",
    "end_intervention",
    "erase_conversations",
    "find_conversations",
    "find_dead_letter",
    "find_last_event_id",
    "find_recorded",
    "find_unfinished_replay",
    "keep_discarded",
    "list_open_dead_letters",
    "match_dead_letters",
    "newest_event_id",
    "read_past_events",
    "record_decision",
    "record_execution",
    "record_progress",
]
