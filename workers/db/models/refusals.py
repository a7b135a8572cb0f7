"""Name the tables of dead letters and of suspects."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Index, Integer, Table, Text, text

from workers.db.models.columns import BRIN, Digest, Identifier, UtcDateTime, column, metadata, primary_key

_OPEN: Any = {name: text("decided_at IS NULL") for name in ("postgresql_where", "sqlite_where")}

dead_letters = Table(
    "dead_letters",
    metadata,
    primary_key("message_id", Identifier, "The accepted request; body_sha256 where it had no id"),
    column("code", Text, "What is wrong, one stable word: docs/database.md lists them"),
    column("reason", Text, "What is wrong, naming the field and never its value"),
    column("body_sha256", Digest, "SHA-256 of the raw body, 32 bytes"),
    column("source", Text, "webhook, reconcile, replay or ingest"),
    column("received_at", UtcDateTime, "When the edge had read the request"),
    column("recorded_at", UtcDateTime, "When it was dead-lettered first"),
    column("attempts", Integer, "Deliveries up to then, from 1"),
    column(
        "intervention_id",
        Identifier,
        "What an operator decided: interventions.intervention_id",
        nullable=True,
    ),
    column("decided_at", UtcDateTime, "When that was carried out; null: it is open", nullable=True),
    column("idempotency_key", Identifier, "Of its event; null if it was not read", nullable=True),
    column("event_type", Text, "As far as the body has one", nullable=True),
    column("conversation_id", Identifier, "As far as the body has one", nullable=True),
    column(
        "destination", Identifier, "That did not accept it; null: intake could not process it", nullable=True
    ),
    Index(None, "recorded_at", **BRIN),
    Index(None, "idempotency_key"),
    Index("ix_dead_letters_open", "code", "recorded_at", **_OPEN),
    Index("ix_dead_letters_oldest", "recorded_at", "message_id", **_OPEN),
    comment="Why an event is in the dead-letter queue. The body itself is only there",
)

suspects = Table(
    "suspects",
    metadata,
    primary_key("message_id", Identifier, "A delivery whose worker ended before settling it, more than once"),
    column("attempts", Integer, "Attempts that were begun alone and not finished"),
    column("attempted_at", UtcDateTime, "The last of them"),
    comment="Marks set before a suspect is tried and cleared after: what is left killed its worker",
)
