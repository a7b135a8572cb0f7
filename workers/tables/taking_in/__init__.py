"""Put on record what comes in: claims, bodies, conversations, the outbox, and what could not be processed."""

from workers.tables.taking_in.claims import claim, mark_skipped
from workers.tables.taking_in.dead_letter_records import DeadLetter, minimal, record_dead_letters, storable
from workers.tables.taking_in.drift_records import DriftRecord, accept_drift, noted_drift, record_drift
from workers.tables.taking_in.duplicates import record_duplicates
from workers.tables.taking_in.entering import enter_conversations
from workers.tables.taking_in.outbox_entries import put_in_outbox
from workers.tables.taking_in.payloads import keep_payloads
from workers.tables.taking_in.suspect_marks import Suspects, has_hung_alone
from workers.tables.taking_in.unstored_events import count_unstored
from workers.tables.taking_in.window import WindowBounds

__all__ = [
    "DeadLetter",
    "DriftRecord",
    "Suspects",
    "WindowBounds",
    "accept_drift",
    "claim",
    "count_unstored",
    "enter_conversations",
    "has_hung_alone",
    "keep_payloads",
    "mark_skipped",
    "minimal",
    "noted_drift",
    "put_in_outbox",
    "record_dead_letters",
    "record_drift",
    "record_duplicates",
    "storable",
]
