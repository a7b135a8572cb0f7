"""Tables of conversations, of the outbox, and of what is delivered to destinations."""

from typing import Final

from sqlalchemy import BigInteger, Boolean, Index, Integer, Table, Text

from workers.db.models.columns import Identifier, RowId, UtcDateTime, column, metadata, partial, primary_key

conversations = Table(
    "conversations",
    metadata,
    primary_key("conversation_id", Identifier, "The platform's conversation"),
    column("status", Text, "implied: known from its events only; started: its start was notified"),
    column("social_channel", Text, "The customer's channel or the integration", nullable=True),
    column("started_at", UtcDateTime, "When it started, platform's clock", nullable=True),
    column("routing_status", Text, "CONTACT-QUEUED or CONTACT-ROUTED (newest update)", nullable=True),
    column("routing_queue", Text, "The newest update's routing queue", nullable=True),
    column("routing_changed_at", UtcDateTime, "Time of the newest update, platform's clock", nullable=True),
    column("routing_sequence", BigInteger, "The newest update's sequence number, 0 for none"),
    column("event_count", Integer, "Events claimed; an increment, so a repeated effect would show"),
    column("message_count", Integer, "Messages claimed; also an increment"),
    column("first_event_at", UtcDateTime, "Oldest event, platform's clock"),
    column("last_event_at", UtcDateTime, "Newest event, platform's clock"),
    column("window_opened_at", UtcDateTime, "First unsettled event's arrival, our clock", nullable=True),
    column("window_closes_at", UtcDateTime, "When the window may be settled, our clock", nullable=True),
    column("window_limit_at", UtcDateTime, "Latest value of window_closes_at", nullable=True),
    column("window_from_at", UtcDateTime, "Oldest event of the window, platform's clock", nullable=True),
    column("settled_count", Integer, "How many of event_count are settled", server_default="0"),
    column("settled_through_at", UtcDateTime, "Newest event settled, platform's clock", nullable=True),
    column("settled_through_sequence", BigInteger, "Its sequence number, 0 for none", server_default="0"),
    column("session_opened_at", UtcDateTime, "When its session went to the outbox, our clock", nullable=True),
    column("unsettled_because", Text, "Why settling failed; null if it did not", nullable=True),
    column("updated_at", UtcDateTime, "Last change of this row, our clock"),
    Index("ix_conversations_unsettled", "conversation_id", **partial("unsettled_because IS NOT NULL")),
    # A window's events move its end and not its beginning, so that their updates touch no index.
    Index(None, "window_opened_at", **partial("window_opened_at IS NOT NULL")),
    comment="One row per conversation. Locked in the order of conversation_id",
)

conversation_messages = Table(
    "conversation_messages",
    metadata,
    primary_key("event_id", RowId, "processed_events.id", autoincrement=False),
    column("conversation_id", Identifier, "The platform's conversation"),
    column("occurred_at", UtcDateTime, "First sort key: the platform's clock"),
    column("sequence", BigInteger, "Second sort key: the platform's sequence number, 0 for none"),
    column("received_at", UtcDateTime, "Third sort key: arrival"),
    column("position", Integer, "Its number within the conversation, by commit", server_default="0"),
    column("platform_message_id", Text, "The platform's message id", nullable=True),
    column("sender", Text, "inbound, outbound, human or bot; null if unknown", nullable=True),
    column("text", Text, "Text of the message: personal data", nullable=True),
    column("content", Text, "Structured parts as JSON: personal data", nullable=True),
    Index(None, "conversation_id", "occurred_at", "sequence"),
    comment="Messages in the order of occurred_at, sequence, received_at, event_id",
)

message_receipts = Table(
    "message_receipts",
    metadata,
    primary_key("event_id", RowId, "processed_events.id", autoincrement=False),
    column("conversation_id", Identifier, "The platform's conversation"),
    column("platform_message_id", Identifier, "Platform's id of its message", nullable=True),
    column("status", Text, "Sent, Delivered, Read, Failed, Published, Removed or newer", nullable=True),
    column("is_final", Boolean, "Whether no further receipt follows", nullable=True),
    column("reasons", Text, "Why it failed: a JSON list of code and message", nullable=True),
    column("occurred_at", UtcDateTime, "The platform's clock"),
    Index(None, "platform_message_id"),
    comment="Receipts of messages; one message has several",
)

routing_updates = Table(
    "routing_updates",
    metadata,
    primary_key("event_id", RowId, "processed_events.id", autoincrement=False),
    column("conversation_id", Identifier, "The platform's conversation"),
    column("occurred_at", UtcDateTime, "The platform's clock"),
    column("sequence", BigInteger, "The platform's sequence number, 0 for none"),
    column("received_at", UtcDateTime, "Arrival"),
    column("routing_status", Text, "Notified status: CONTACT-QUEUED or CONTACT-ROUTED"),
    column("routing_queue", Text, "Notified routing queue", nullable=True),
    column("decision", Text, "applied, late (a newer one stands), superseded or undecided", nullable=True),
    column("platform_status", Text, "The platform's state when it was asked", nullable=True),
    column("verified", Boolean, "Whether the platform agreed; null if it gave no answer", nullable=True),
    column("decided_at", UtcDateTime, "Database's clock; null while it waits", nullable=True),
    column("waits_since", UtcDateTime, "When intake claimed it, database's clock"),
    column("next_attempt_at", UtcDateTime, "When to ask; null once answered or decided", nullable=True),
    Index("ix_routing_updates_waiting", "waits_since", **partial("decision IS NULL")),
    Index(None, "conversation_id"),
    comment="Explicit transitions of the routing, and what became of each",
)

outbox = Table(
    "outbox",
    metadata,
    primary_key("id", RowId, "Rises with the order within each conversation, with gaps"),
    column("conversation_id", Identifier, "The platform's conversation"),
    column("event_id", RowId, "processed_events.id; null if no start was notified", nullable=True),
    column("event_type", Text, "Type of the event that destinations receive"),
    column("occurred_at", UtcDateTime, "The platform's clock"),
    column("late", Boolean, "Whether something newer of its conversation was settled before"),
    column("verified", Boolean, "Whether the platform agreed; null if it was not asked", nullable=True),
    column("created_at", UtcDateTime, "When it was settled, our clock"),
    Index(None, "conversation_id", "id"),
    comment="Events for the destinations, in order within each conversation",
)

destinations = Table(
    "destinations",
    metadata,
    primary_key("name", Identifier, "As in OM_DESTINATIONS"),
    column("registered_at", UtcDateTime, "It receives events settled from then on, our clock"),
    column("paused_at", UtcDateTime, "Since when it is paused; null if it is not", nullable=True),
    column("paused_because", Text, "operator, or gone if it answered 410", nullable=True),
    comment="The services behind: every one that a deliver process has found configured",
)

subscriptions = Table(
    "subscriptions",
    metadata,
    primary_key("event_type", Text, "An event type of the outbox"),
    primary_key("destination", Identifier, "Destination that receives it: destinations.name"),
    comment="The destinations for which the trigger outbox_plans_deliveries plans deliveries",
)

_UNFINISHED: Final = partial("outcome IS NULL")
_UNPUBLISHED: Final = partial("outcome = 'dead' AND dead_lettered_at IS NULL")

deliveries = Table(
    "deliveries",
    metadata,
    primary_key("outbox_id", RowId, "outbox.id", autoincrement=False),
    primary_key("destination", Identifier, "destinations.name"),
    column("conversation_id", Identifier, "The platform's conversation"),
    column(
        "due_at",
        UtcDateTime,
        "Not before; while a process tries, the end of its lease; 9999: waits behind another",
    ),
    column("attempts", Integer, "Attempts that failed, except those at a destination known to be down"),
    column("first_attempt_at", UtcDateTime, "When the first attempt failed, our clock", nullable=True),
    column("refused_at", UtcDateTime, "Since when it is answered 401, 403, 404, 405 or 407", nullable=True),
    column("status", Integer, "HTTP status of the last answer", nullable=True),
    column("reason", Text, "Short reason of the last failed attempt", nullable=True),
    column(
        "outcome",
        Text,
        "delivered, dead: given up, or abandoned by an operator or for its age; null: waits",
        nullable=True,
    ),
    column("finished_at", UtcDateTime, "When it was delivered or given up, our clock", nullable=True),
    column("dead_lettered_at", UtcDateTime, "When the dead letter was published", nullable=True),
    Index("ix_deliveries_due", "destination", "due_at", **_UNFINISHED),
    Index("ix_deliveries_order", "destination", "conversation_id", "outbox_id", **_UNFINISHED),
    Index("ix_deliveries_unpublished", "outbox_id", **_UNPUBLISHED),
    comment="One row for each outbox row and destination; the trigger outbox_plans_deliveries inserts it",
)

failed_receipts = Table(
    "failed_receipts",
    metadata,
    primary_key("event_id", RowId, "processed_events.id of the message", autoincrement=False),
    column("destination", Identifier, "The destination that gave it up first"),
    column("status", Integer, "HTTP status of the destination's last answer", nullable=True),
    column("reason", Text, "Short reason of the destination's last failed attempt", nullable=True),
    column("due_at", UtcDateTime, "Not to be attempted before this time"),
    column("attempts", Integer, "Number of attempts begun"),
    column("begun_at", UtcDateTime, "When the current request began, our clock", nullable=True),
    column("outcome", Text, "sent, refused, unknown or gone; null while it waits", nullable=True),
    column("problem", Text, "Short reason of the platform's last refusal", nullable=True),
    column("finished_at", UtcDateTime, "When, our clock", nullable=True),
    Index("ix_failed_receipts_due", "due_at", **_UNFINISHED),
    comment="Messages that were given up, each reported once to the agent by a Failed receipt",
)
