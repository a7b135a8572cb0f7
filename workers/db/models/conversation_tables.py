"""Define the tables of conversations, of the outbox, and of deliveries to destinations."""

from typing import Final

from sqlalchemy import BigInteger, Boolean, Index, Integer, Text

from workers.db.models.columns import (
    Identifier,
    RowId,
    UtcDateTime,
    column,
    counter,
    optional,
    partial,
    primary_key,
    table,
)

conversations = table(
    "conversations",
    "One row per conversation; rows are locked in the order of conversation_id",
    primary_key("conversation_id", Identifier, "The platform's conversation"),
    column("status", Text, "implied: known from its events only; started: its start was notified"),
    optional("social_channel", Text, "The customer's channel or the integration"),
    optional("started_at", UtcDateTime, "When it started, platform's clock"),
    optional("routing_status", Text, "CONTACT-QUEUED or CONTACT-ROUTED (newest update)"),
    optional("routing_queue", Text, "The newest update's routing queue"),
    optional("routing_changed_at", UtcDateTime, "Time of the newest update, platform's clock"),
    column("routing_sequence", BigInteger, "The newest update's sequence number, 0 for none"),
    column("event_count", Integer, "Events claimed; incremented, so a repeated effect would show"),
    column("message_count", Integer, "Messages claimed; also incremented"),
    column("first_event_at", UtcDateTime, "Oldest event, platform's clock"),
    column("last_event_at", UtcDateTime, "Newest event, platform's clock"),
    optional("window_opened_at", UtcDateTime, "First unsettled event's arrival, our clock"),
    optional("window_closes_at", UtcDateTime, "When the window may be settled, our clock"),
    optional("window_limit_at", UtcDateTime, "Latest value of window_closes_at"),
    optional("window_from_at", UtcDateTime, "Oldest event of the window, platform's clock"),
    counter("settled_count", "How many of event_count are settled"),
    optional("settled_through_at", UtcDateTime, "Newest event settled, platform's clock"),
    column("settled_through_sequence", BigInteger, "Its sequence number, 0 for none", server_default="0"),
    optional("session_opened_at", UtcDateTime, "When its session entered the outbox, our clock"),
    optional("unsettled_because", Text, "Why settling failed; null if it did not"),
    column("updated_at", UtcDateTime, "Last change of this row, our clock"),
    Index("ix_conversations_unsettled", "conversation_id", **partial("unsettled_because IS NOT NULL")),
    # Later events move the end of a window but not its beginning, so storing them changes no index.
    Index(None, "window_opened_at", **partial("window_opened_at IS NOT NULL")),
)

conversation_messages = table(
    "conversation_messages",
    "Messages in the order of occurred_at, sequence, received_at, event_id",
    primary_key("event_id", RowId, "processed_events.id", autoincrement=False),
    column("conversation_id", Identifier, "The platform's conversation"),
    column("occurred_at", UtcDateTime, "First sort key: the platform's clock"),
    column("sequence", BigInteger, "Second sort key: the platform's sequence number, 0 for none"),
    column("received_at", UtcDateTime, "Third sort key: arrival"),
    counter("position", "Its number in the conversation, by commit"),
    optional("platform_message_id", Text, "The platform's message id"),
    optional("sender", Text, "inbound, outbound, human or bot; null if unknown"),
    optional("text", Text, "Text of the message: personal data"),
    optional("content", Text, "Structured parts as JSON: personal data"),
    Index(None, "conversation_id", "occurred_at", "sequence"),
)

message_receipts = table(
    "message_receipts",
    "Receipts of messages; one message has several",
    primary_key("event_id", RowId, "processed_events.id", autoincrement=False),
    column("conversation_id", Identifier, "The platform's conversation"),
    optional("platform_message_id", Identifier, "The platform's id of the message"),
    optional("status", Text, "Sent, Delivered, Read, Failed, Published, Removed or newer"),
    optional("is_final", Boolean, "Whether no further receipt follows"),
    optional("reasons", Text, "Why it failed: a JSON list of code and message"),
    column("occurred_at", UtcDateTime, "The platform's clock"),
    Index(None, "platform_message_id"),
)

routing_updates = table(
    "routing_updates",
    "Explicit routing transitions, and the decision on each",
    primary_key("event_id", RowId, "processed_events.id", autoincrement=False),
    column("conversation_id", Identifier, "The platform's conversation"),
    column("occurred_at", UtcDateTime, "The platform's clock"),
    column("sequence", BigInteger, "The platform's sequence number, 0 for none"),
    column("received_at", UtcDateTime, "Arrival"),
    column("routing_status", Text, "Notified status: CONTACT-QUEUED or CONTACT-ROUTED"),
    optional("routing_queue", Text, "Notified routing queue"),
    optional("decision", Text, "applied, late (a newer one was applied), superseded or undecided"),
    optional("platform_status", Text, "The platform's state when it was queried"),
    optional("verified", Boolean, "Whether the platform agreed; null if it gave no answer"),
    optional("decided_at", UtcDateTime, "Database's clock; null while it waits"),
    column("waits_since", UtcDateTime, "When intake claimed it, database's clock"),
    optional("next_attempt_at", UtcDateTime, "When to query; null once answered or decided"),
    # The second column lets queries pass over updates that are not due yet without reading their rows.
    Index("ix_routing_updates_waiting", "waits_since", "next_attempt_at", **partial("decision IS NULL")),
    Index(None, "conversation_id"),
)

outbox = table(
    "outbox",
    "Events for the destinations, in order within each conversation",
    primary_key("id", RowId, "Increases in the order of each conversation's events, with gaps"),
    column("conversation_id", Identifier, "The platform's conversation"),
    optional("event_id", RowId, "processed_events.id; null if no start was notified"),
    column("event_type", Text, "Type of the event that destinations receive"),
    column("occurred_at", UtcDateTime, "The platform's clock"),
    column("late", Boolean, "Whether a newer event of its conversation was settled before it"),
    optional("verified", Boolean, "Whether the platform agreed; null if it was not queried"),
    column("created_at", UtcDateTime, "When it was settled, our clock"),
    Index(None, "conversation_id", "id"),
)

destinations = table(
    "destinations",
    "The services that receive events, from the destinations files of all hosts",
    primary_key("name", Identifier, "As in OM_DESTINATIONS"),
    column("registered_at", UtcDateTime, "It receives events settled since then, our clock"),
    optional("paused_at", UtcDateTime, "When it was paused; null if it is not paused"),
    optional("paused_because", Text, "operator, or gone if it answered 410"),
)

subscriptions = table(
    "subscriptions",
    "The destinations for which the trigger outbox_plans_deliveries plans deliveries",
    primary_key("event_type", Text, "An event type of the outbox"),
    primary_key("destination", Identifier, "Destination that receives it: destinations.name"),
)

_UNFINISHED: Final = partial("outcome IS NULL")
_UNPUBLISHED: Final = partial("outcome = 'dead' AND dead_lettered_at IS NULL")

deliveries = table(
    "deliveries",
    "One row for each outbox row and destination; the trigger outbox_plans_deliveries inserts it",
    primary_key("outbox_id", RowId, "outbox.id", autoincrement=False),
    primary_key("destination", Identifier, "destinations.name"),
    column("conversation_id", Identifier, "The platform's conversation"),
    column("due_at", UtcDateTime, "When it is due; while tried, the lease's end; 9999: waits behind another"),
    column("attempts", Integer, "Attempts that failed, except those at a destination known to be down"),
    optional("first_attempt_at", UtcDateTime, "When the first attempt failed, our clock"),
    optional("refused_at", UtcDateTime, "Since when 401, 403, 404, 405 or 407 is answered"),
    optional("status", Integer, "HTTP status of the last answer"),
    optional("reason", Text, "Short reason of the last failed attempt"),
    optional(
        "outcome", Text, "delivered; dead: given up; abandoned: by an operator or for its age; null: waits"
    ),
    optional("finished_at", UtcDateTime, "When it was delivered or given up, our clock"),
    optional("dead_lettered_at", UtcDateTime, "When the dead letter was published"),
    Index("ix_deliveries_due", "destination", "due_at", **_UNFINISHED),
    Index("ix_deliveries_order", "destination", "conversation_id", "outbox_id", **_UNFINISHED),
    Index("ix_deliveries_unpublished", "outbox_id", **_UNPUBLISHED),
)

failed_receipts = table(
    "failed_receipts",
    "Messages that were given up; the agent gets one Failed receipt for each",
    primary_key("event_id", RowId, "processed_events.id of the message", autoincrement=False),
    column("destination", Identifier, "The destination that gave it up first"),
    optional("status", Integer, "HTTP status of the destination's last answer"),
    optional("reason", Text, "Short reason of the destination's last failed attempt"),
    column("due_at", UtcDateTime, "Not to be attempted before this time"),
    column("attempts", Integer, "Number of attempts begun"),
    optional("begun_at", UtcDateTime, "When the current request began, our clock"),
    optional("outcome", Text, "sent, refused, unknown or gone; null while it waits"),
    optional("problem", Text, "Short reason of the platform's last refusal"),
    optional("finished_at", UtcDateTime, "When it ended, our clock"),
    Index("ix_failed_receipts_due", "due_at", **_UNFINISHED),
)
