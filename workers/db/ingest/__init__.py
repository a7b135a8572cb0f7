"""Put on record what comes in: claims, bodies, conversations, the outbox, and what could not be processed."""

from workers.db.ingest.claims import claim, mark_skipped
from workers.db.ingest.dead_letter_records import DeadLetter, make_minimal, make_storable, record_dead_letters
from workers.db.ingest.drift_records import DriftRecord, accept_drift, noted_drift, record_drift
from workers.db.ingest.duplicates import record_duplicates
from workers.db.ingest.entering import enter_conversations
from workers.db.ingest.outbox_entries import put_in_outbox
from workers.db.ingest.payloads import keep_payloads
from workers.db.ingest.suspect_marks import Suspects
from workers.db.ingest.unstored_events import count_unstored
from workers.db.ingest.window import WindowBounds

__all__ = [
    "DeadLetter",
    "DriftRecord",
    "Suspects",
    "WindowBounds",
    "accept_drift",
    "claim",
    "count_unstored",
    "enter_conversations",
    "keep_payloads",
    "make_minimal",
    "make_storable",
    "mark_skipped",
    "noted_drift",
    "put_in_outbox",
    "record_dead_letters",
    "record_drift",
    "record_duplicates",
]
