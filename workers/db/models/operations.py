"""Define the tables about the service itself: reconciliation, operators' decisions, processes' reports."""

from typing import Final

from sqlalchemy import BigInteger, Boolean, Index, Integer, LargeBinary, Text, true

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

_UNDER_WAY: Final = partial("finished_at IS NULL AND started_by = 'timer'")
_UNENDED: Final = partial("state IN ('open', 'over')")

reconciliations = table(
    "reconciliations",
    "Comparisons with the platform's history: the time compared, counts and gaps",
    primary_key("id", RowId, "Increases with time, with gaps"),
    column("started_by", Text, "timer, or the operator at the command line"),
    column("compared_from", UtcDateTime, "Start of the compared time, platform's clock"),
    column("compared_to", UtcDateTime, "End of the compared time; the next comparison continues from here"),
    optional("page", Integer, "Next page of the platform's list of conversations; null if all are listed"),
    counter("conversations", "Conversations that were read"),
    counter("compared", "Messages and receipts that were compared"),
    counter("missing", "How many of these no webhook delivered: new gaps"),
    counter("published", "Gaps that were published to the events' queue"),
    counter("waiting", "Gaps of earlier comparisons that are not processed yet"),
    counter("unreadable", "Events of the history that could not be compared or recorded"),
    counter("unread", "Conversations of which only the counts were compared"),
    counter("ours", "Webhook events that were looked up in the history"),
    counter("unmatched", "How many of these the history lacks"),
    optional("mismatch", Text, "Why nothing more was published; null if our events match"),
    optional("decided_by", Text, "Operator who decided about the mismatch; null if none has"),
    column("started_at", UtcDateTime, "When it started, database's clock"),
    optional("finished_at", UtcDateTime, "When it finished, database's clock; null: under way, or killed"),
    column("held_by", Text, "Process that runs the comparison"),
    column("held_until", UtcDateTime, "When another process may take over, database's clock"),
    optional(
        "unlisted",
        Text,
        "Why the platform listed no conversations (unknown ones are not compared); null if it did",
    ),
    counter("passed_over", "Conversations that were not compared: refused, unanswered, or failed"),
    Index("ix_reconciliations_under_way", "started_by", unique=True, **_UNDER_WAY),
    Index("ix_reconciliations_undecided", "id", **partial("mismatch IS NOT NULL AND decided_by IS NULL")),
)

reconciliation_gaps = table(
    "reconciliation_gaps",
    "Events that only the platform had; reconciliation_gaps_v1 shows the outcome",
    primary_key("idempotency_key", Identifier, "The event's key, as later in processed_events"),
    column("reconciliation_id", RowId, "reconciliations.id of the comparison that found it"),
    column("conversation_id", Identifier, "The platform's conversation"),
    column("event_type", Text, "Type of the missing event"),
    column("platform_message_id", Identifier, "The platform's id of the message or of the receipt's message"),
    column("occurred_at", UtcDateTime, "The platform's clock"),
    column("found_at", UtcDateTime, "When it was found, our clock"),
    column("published_at", UtcDateTime, "When the broker confirmed the copy, our clock"),
    column("message_id", Identifier, "Id of the copy, as in processed_events and dead_letters"),
)

platform_conversations = table(
    "platform_conversations",
    "How far each conversation has been compared with the platform's history",
    primary_key("conversation_id", Identifier, "The platform's conversation"),
    column(
        "state",
        Text,
        "open; over: ended, and only its counts were compared; ended: compared to its end; unknown: the"
        " platform has no such conversation",
    ),
    column("listed_at", UtcDateTime, "When its last event arrived here, or when it was first listed"),
    optional("counted_at", UtcDateTime, "When its messages were last counted, our clock"),
    column("differs", Boolean, "Whether the counts differed then", server_default=true()),
    optional("messages", Integer, "Number of messages when it was last read"),
    optional("read_at", UtcDateTime, "When it was last read, our clock"),
    optional("fingerprint", Text, "Digest of its messages; if equal, nothing is compared"),
    Index("ix_platform_conversations_unread", "differs", "read_at", "listed_at", **_UNENDED),
)

interventions = table(
    "interventions",
    "Operators' decisions about events and dead letters, with operator and reason",
    primary_key("intervention_id", Identifier, "Random id"),
    column("action", Text, "Kind of decision; docs/omctl.md describes the commands"),
    column("operator", Text, "The operating system's user and host"),
    column("reason", Text, "The operator's reason"),
    column("selection", Text, "Selection as JSON: filters and the cut-off, no content"),
    column("again", Boolean, "Whether events that took effect were to take effect again"),
    column("chosen", BigInteger, "Number of events or dead letters selected"),
    column("done", BigInteger, "Number of these that are done", server_default="0"),
    optional("through", RowId, "For replay-events: processed_events.id of the last event done"),
    optional("outcome", Text, "done or cancelled; null while it runs, or if it was killed"),
    column("started_at", UtcDateTime, "When it started, our clock"),
    optional("ended_at", UtcDateTime, "When it ended, our clock"),
)

discarded_dead_letters = table(
    "discarded_dead_letters",
    "Bodies of dead letters that an operator discarded, in case it was a mistake",
    primary_key("id", RowId, "Increases with time, with gaps"),
    column("message_id", Identifier, "dead_letters.message_id"),
    column("intervention_id", Identifier, "interventions.intervention_id"),
    column("discarded_at", UtcDateTime, "When it was stored, our clock; kept for OM_PAYLOAD_RETENTION_DAYS"),
    column("body", LargeBinary, "The raw body, byte for byte: personal data, tokens"),
)

edge_statistics = table(
    "edge_statistics",
    "What each edge process answered, minute by minute; a minute without requests has no row",
    primary_key("process", Identifier, "Host and process id"),
    primary_key("began_at", UtcDateTime, "When the interval began, the database's clock"),
    column("edge", Identifier, "The host"),
    column("duration_us", BigInteger, "Length of the interval in microseconds, usually a minute"),
    column("answered", Integer, "Webhooks answered 200"),
    column("within_10_ms", Integer, "Answered within 10 ms of the last byte received"),
    column("within_100_ms", Integer, "Answered within 100 ms"),
    column("within_1_s", Integer, "Answered within 1 s"),
    column("within_3_s", Integer, "Answered within 3 s, the guide's limit"),
    column("within_10_s", Integer, "Answered within 10 s, the platform's timeout"),
    column("longest_us", BigInteger, "Longest time to an answer in the last two minutes, in microseconds"),
    column("status_401", Integer, "Refused: signature or header"),
    column("status_413", Integer, "Refused: too large"),
    column("status_429", Integer, "Refused: the queue is too deep"),
    column("status_503", Integer, "Refused: the journal is full or cannot be written"),
    column("other_refusals", Integer, "Refused with another status"),
    Index("ix_edge_statistics_began_at", "began_at"),
)

worker_reports = table(
    "worker_reports",
    "Running workers and their counts; a worker that stops deletes its row",
    primary_key("role", Identifier, "intake, settle, deliver or reconcile"),
    primary_key("worker", Identifier, "Host and name of the process"),
    column("started_at", UtcDateTime, "When the process began, our clock; its counts begin with it"),
    column("reported_at", UtcDateTime, "When it last reported, our clock; every ten seconds"),
    column("figures", Text, "Its counts as JSON: by name, or by name and destination"),
)

canaries = table(
    "canaries",
    "The newest canary that passed through the whole service, one row per sender",
    primary_key("sender", Identifier, "Host whose om-observe sends a canary every minute"),
    column("sent_at_us", BigInteger, "When that canary was sent, in microseconds, by the sender's clock"),
    column("arrived_at", UtcDateTime, "When it arrived here, database's clock"),
    column("arrivals", Integer, "Canaries that arrived; no other table or count includes them"),
)

request_budgets = table(
    "request_budgets",
    "How much of the platform's request limit is used, one row for all hosts",
    primary_key("name", Identifier, "Whose limit: the OAuth client's id"),
    column("paid_at_us", BigInteger, "When all requests so far are paid for, microseconds since the epoch"),
    column("background_paid_at_us", BigInteger, "When reconcile's tenth of the limit permits a request"),
)
