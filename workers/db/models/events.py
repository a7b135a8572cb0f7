"""Define the tables of events and of their bodies, conflicts, drift, dead letters and suspects."""

from typing import Final

from sqlalchemy import BigInteger, Index, Integer, LargeBinary, Text, UniqueConstraint

from workers.db.models.columns import (
    BRIN,
    Digest,
    Identifier,
    RowId,
    UtcDateTime,
    column,
    optional,
    partial,
    primary_key,
    table,
)

processed_events = table(
    "processed_events",
    "Each event once, kept OM_RETENTION_DAYS: the unique key decides what is new",
    primary_key("id", RowId, "Increases in the order of arrival, with gaps"),
    column("idempotency_key", Identifier, "Equal for every copy of one event: docs/database.md"),
    column("conversation_id", Identifier, "The platform's conversation"),
    column(
        "event_type", Text, "openmessaging:conversation:new|message|updated, openmessaging:receipt|typing"
    ),
    column("outcome", Text, "processed: took effect; skipped: recorded without effect, see reason"),
    optional("reason", Text, "Why it was skipped: a stable code"),
    column("occurred_at", UtcDateTime, "The platform's clock"),
    column("received_at", UtcDateTime, "When the edge had read the request"),
    column("processed_at", UtcDateTime, "When the transaction that processed it began"),
    column("message_id", Identifier, "Id of the accepted request, as in the edge's log"),
    column("source", Text, "webhook, reconcile, replay or ingest"),
    column("dialect", Text, "guide, genesys or eventbridge"),
    column("body_sha256", Digest, "SHA-256 of the request's raw body, 32 bytes"),
    column("times_received", Integer, "Times received with this body, from 1", server_default="1"),
    optional("last_repeated_at", UtcDateTime, "When it was last repeated; null if never"),
    optional("request_id", Text, "Id of its request, as in the gateway's log and the answer's header"),
    UniqueConstraint("idempotency_key"),
    Index(None, "processed_at", **BRIN),
    Index(None, "conversation_id"),
)

event_payloads = table(
    "event_payloads",
    "Raw bodies as they were received; the read-only role may not read them",
    primary_key("event_id", RowId, "processed_events.id", autoincrement=False),
    column("stored_at", UtcDateTime, "When it was stored, our clock; kept for OM_PAYLOAD_RETENTION_DAYS"),
    column("body", LargeBinary, "The request's raw body, byte for byte: personal data, tokens"),
)

event_conflicts = table(
    "event_conflicts",
    "Conflicts: events with the key of a known event but different content",
    primary_key("event_id", RowId, "processed_events.id of the key's first event", autoincrement=False),
    primary_key("body_sha256", Digest, "SHA-256 of this other body, 32 bytes"),
    column("idempotency_key", Identifier, "The key that both events have"),
    column("body", LargeBinary, "The other body, byte for byte: personal data, tokens"),
    column("message_id", Identifier, "Id of the accepted request that first contained it"),
    column("source", Text, "webhook, reconcile, replay or ingest"),
    column("times_received", Integer, "Times received, from 1"),
    column("first_seen_at", UtcDateTime, "When it was first received, our clock"),
    column("last_seen_at", UtcDateTime, "When it was last received, our clock"),
)

drift = table(
    "drift",
    "Names and values from the platform that this version does not know",
    primary_key("kind", Text, "unknown_field, unknown_value or wrong_type"),
    primary_key("name", Text, "The field's path; for values, = and the value"),
    column("event_type", Text, "Event type in which it was first seen"),
    column("first_seen_at", UtcDateTime, "When it was first seen"),
    optional("last_seen_at", UtcDateTime, "When it was last seen; written from time to time"),
    column("count", BigInteger, "Times read, including copies and repeated attempts", server_default="1"),
    optional("sample", Text, "Shape of one of its values; never a customer's text"),
    optional("accepted_at", UtcDateTime, "When an operator accepted it: omctl drift accept"),
    optional("accepted_by", Text, "Operator who accepted it"),
)

unstored_events = table(
    "unstored_events",
    "Events that have no row of their own, counted by day",
    primary_key("day", UtcDateTime, "Start of the day in UTC, our clock"),
    primary_key("event_type", Text, "openmessaging:typing"),
    column("events", BigInteger, "Number received, including copies"),
)

_OPEN: Final = partial("decided_at IS NULL")

dead_letters = table(
    "dead_letters",
    "Why an event is in the dead-letter queue; only the queue has its body",
    primary_key("message_id", Identifier, "Id of the accepted request; body_sha256 if it had no id"),
    column("code", Text, "What is wrong: a stable code, listed in docs/database.md"),
    column("reason", Text, "What is wrong; names the field, never its value"),
    column("body_sha256", Digest, "SHA-256 of the raw body, 32 bytes"),
    column("source", Text, "webhook, reconcile, replay or ingest"),
    column("received_at", UtcDateTime, "When the edge had read the request"),
    column("recorded_at", UtcDateTime, "When it was first dead-lettered"),
    column("attempts", Integer, "Number of its deliveries until then, from 1"),
    optional("intervention_id", Identifier, "What an operator decided: interventions.intervention_id"),
    optional("decided_at", UtcDateTime, "When the decision was carried out; null while open"),
    optional("idempotency_key", Identifier, "Key of its event; null if it could not be read"),
    optional("event_type", Text, "Type of the event; null if the body has none"),
    optional("conversation_id", Identifier, "The conversation; null if the body has none"),
    optional("destination", Identifier, "Where delivery failed; null: intake could not process it"),
    Index(None, "recorded_at", **BRIN),
    Index(None, "idempotency_key"),
    Index("ix_dead_letters_open", "code", "recorded_at", **_OPEN),
    Index("ix_dead_letters_oldest", "recorded_at", "message_id", **_OPEN),
)

suspects = table(
    "suspects",
    "Marks set before a suspect is tried; one that remains shows that its worker ended",
    primary_key("message_id", Identifier, "A delivery whose worker ended before settling it, more than once"),
    column("attempts", Integer, "Attempts begun alone and not finished"),
    column("attempted_at", UtcDateTime, "When the last attempt began"),
)
