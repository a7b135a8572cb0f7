"""Record incoming events and their bodies, conversations, outbox entries, drift and dead letters."""

from workers.db.ingest.claims import (
    claim,
    count_unstored,
    import_keys,
    keep_payloads,
    mark_skipped,
    record_duplicates,
)
from workers.db.ingest.dead_letter_records import DeadLetter, make_minimal, make_storable, record_dead_letters
from workers.db.ingest.drift_records import accept_drift, read_drift, record_drift
from workers.db.ingest.entering import WindowBounds, enter_conversations, put_in_outbox
from workers.db.ingest.suspect_marks import POISON_ENDS, Suspects
