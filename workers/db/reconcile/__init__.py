"""Record the progress and the results of comparisons with the platform's history."""

from workers.db.reconcile.known_events import (
    DialectProfile,
    find_known_gaps,
    find_known_keys,
    find_processed_keys,
    read_dialect_profile,
    read_own_events,
    record_gaps,
)
from workers.db.reconcile.platform_conversations import (
    STATE_ENDED,
    STATE_OPEN,
    STATE_UNKNOWN,
    KnownConversation,
    PlatformCount,
    count_unread,
    find_unread,
    read_conversation_ids,
    record_counts,
    record_listed_conversations,
    record_own_conversations,
    record_progress,
    select_uncounted,
)
from workers.db.reconcile.reconciliation_records import (
    IS_UNDECIDED,
    TIMER,
    Arrivals,
    ComparisonWatermarks,
    Reconciliation,
    TakenOverError,
    begin_reconciliation,
    decide_mismatches,
    read_arrivals,
    read_watermarks,
    resume_reconciliation,
    update_reconciliation,
)
