"""Record what arrives: events, bodies, conversations, the outbox, drift and dead letters."""

from workers.db.ingest.claims import claim, count_unstored, keep_payloads, mark_skipped, record_duplicates
from workers.db.ingest.dead_letter_records import DeadLetter, make_minimal, make_storable, record_dead_letters
from workers.db.ingest.drift_records import accept_drift, read_drift, record_drift
from workers.db.ingest.entering import WindowBounds, enter_conversations
from workers.db.ingest.outbox_entries import put_in_outbox
from workers.db.ingest.suspect_marks import Suspects

__all__ = [
    "DeadLetter",
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
    "put_in_outbox",
    "read_drift",
    "record_dead_letters",
    "record_drift",
    "record_duplicates",
]
