"""Name the tables of what people decide about events and dead letters."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, LargeBinary, Table, Text

from workers.db.models.columns import Identifier, RowId, UtcDateTime, column, metadata, primary_key

interventions = Table(
    "interventions",
    metadata,
    primary_key("intervention_id", Identifier, "Drawn at random"),
    column("action", Text, "What was done: docs/omctl.md has the commands"),
    column("person", Text, "The operating system's user and host"),
    column("reason", Text, "Why, in that person's words"),
    column("selection", Text, "What was chosen, as JSON: filters and the cut-off, no content"),
    column("again", Boolean, "Whether events that took effect were to take effect once more"),
    column("chosen", BigInteger, "How many were chosen"),
    column("done", BigInteger, "How many are done", server_default="0"),
    column("through", RowId, "Of replay-events: processed_events.id of the last done", nullable=True),
    column("outcome", Text, "done or cancelled; null: under way, or killed", nullable=True),
    column("started_at", UtcDateTime, "When, our clock"),
    column("ended_at", UtcDateTime, "When, our clock", nullable=True),
    comment="What people decided about events and dead letters: who, why, when, how many",
)

discarded_letters = Table(
    "discarded_letters",
    metadata,
    primary_key("id", RowId, "Rises with time, with gaps"),
    column("message_id", Identifier, "dead_letters.message_id"),
    column("intervention_id", Identifier, "interventions.intervention_id"),
    column("discarded_at", UtcDateTime, "When, our clock; kept OM_PAYLOAD_RETENTION_DAYS from then"),
    column("body", LargeBinary, "The raw body, byte for byte: personal data, tokens"),
    comment="Bodies of dead letters that a person discarded, in case it was a mistake",
)
