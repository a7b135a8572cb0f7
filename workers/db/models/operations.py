"""Tables of the service itself: reconciliation, decisions of operators, reports of its processes."""

from sqlalchemy import BigInteger, Boolean, Index, Integer, LargeBinary, Table, Text, true

from workers.db.models.columns import Identifier, RowId, UtcDateTime, column, metadata, partial, primary_key

reconciliations = Table(
    "reconciliations",
    metadata,
    primary_key("id", RowId, "Rises with time, with gaps"),
    column("started_by", Text, "timer, or the operator at the command line"),
    column("compared_from", UtcDateTime, "Start of the compared time, platform's clock"),
    column("compared_to", UtcDateTime, "End of the compared time; the next comparison continues from here"),
    column(
        "page",
        Integer,
        "Next page of the platform's list of conversations; null: all are listed",
        nullable=True,
    ),
    column("conversations", Integer, "Conversations that were read", server_default="0"),
    column("compared", Integer, "Messages and receipts that were compared", server_default="0"),
    column("missing", Integer, "How many of these no webhook delivered: new gaps", server_default="0"),
    column("published", Integer, "Gaps that were published to the events' queue", server_default="0"),
    column("waiting", Integer, "Gaps of earlier comparisons that are not processed yet", server_default="0"),
    column(
        "unreadable",
        Integer,
        "Events of the history that cannot be compared, or not be recorded",
        server_default="0",
    ),
    column("unread", Integer, "Conversations of which only the counts were compared", server_default="0"),
    column("ours", Integer, "Events of webhooks that were searched in the history", server_default="0"),
    column("unmatched", Integer, "How many of these the history lacks", server_default="0"),
    column("mismatch", Text, "Why nothing more was published; null if our events match", nullable=True),
    column("decided_by", Text, "Operator who decided about the mismatch; null if none has", nullable=True),
    column("started_at", UtcDateTime, "When it started, database's clock"),
    column(
        "finished_at", UtcDateTime, "When, the database's clock; null: under way, or killed", nullable=True
    ),
    column("held_by", Text, "Process that compares it"),
    column("held_until", UtcDateTime, "When another process may take over, database's clock"),
    column(
        "unlisted",
        Text,
        "Why the platform listed no conversations; those never heard of are not compared; null: it did",
        nullable=True,
    ),
    column(
        "passed_over",
        Integer,
        "Conversations that were not compared: refused, unanswered, or failed",
        server_default="0",
    ),
    Index(
        "ix_reconciliations_under_way",
        "started_by",
        unique=True,
        **partial("finished_at IS NULL AND started_by = 'timer'"),
    ),
    Index("ix_reconciliations_undecided", "id", **partial("mismatch IS NOT NULL AND decided_by IS NULL")),
    comment="Comparisons with the platform's history: how far, how much, what was missing",
)

reconciliation_gaps = Table(
    "reconciliation_gaps",
    metadata,
    primary_key("idempotency_key", Identifier, "Of the event, as processed_events has it once it is there"),
    column("reconciliation_id", RowId, "reconciliations.id of the comparison that found it"),
    column("conversation_id", Identifier, "The platform's conversation"),
    column("event_type", Text, "Type of the missing event"),
    column("platform_message_id", Identifier, "Platform's id of the message or of the receipt's message"),
    column("occurred_at", UtcDateTime, "The platform's clock"),
    column("found_at", UtcDateTime, "When, our clock"),
    column("published_at", UtcDateTime, "When the broker confirmed the copy, our clock"),
    column("message_id", Identifier, "Id of the copy, as in processed_events and dead_letters"),
    comment="Events that only the platform had; reconciliation_gaps_v1 shows the outcome",
)

platform_conversations = Table(
    "platform_conversations",
    metadata,
    primary_key("conversation_id", Identifier, "The platform's conversation"),
    column(
        "state",
        Text,
        "open; over: ended, and only its counts were compared; ended: compared to its end; unknown: the"
        " platform has no such conversation",
    ),
    column("listed_at", UtcDateTime, "When its last event arrived here, or when it was first listed"),
    column("counted_at", UtcDateTime, "When its messages were last counted, our clock", nullable=True),
    column("differs", Boolean, "Whether the counts differed then", server_default=true()),
    column("messages", Integer, "Number of messages when it was last read", nullable=True),
    column("read_at", UtcDateTime, "When it was last read, our clock", nullable=True),
    column("fingerprint", Text, "Of its messages; if unchanged, nothing is compared", nullable=True),
    comment="How far each conversation is compared with the platform's history",
)
Index(
    "ix_platform_conversations_unread",
    platform_conversations.c.differs,
    platform_conversations.c.read_at,
    **partial("state IN ('open', 'over')"),
)

interventions = Table(
    "interventions",
    metadata,
    primary_key("intervention_id", Identifier, "Drawn at random"),
    column("action", Text, "Kind of decision; docs/omctl.md describes the commands"),
    column("operator", Text, "The operating system's user and host"),
    column("reason", Text, "The operator's reason"),
    column("selection", Text, "Selection as JSON: filters and the cut-off, no content"),
    column("again", Boolean, "Whether events that took effect were to take effect once more"),
    column("chosen", BigInteger, "Number selected"),
    column("done", BigInteger, "Number done", server_default="0"),
    column("through", RowId, "For replay-events: processed_events.id of the last event done", nullable=True),
    column("outcome", Text, "done or cancelled; null while it runs, or if it was killed", nullable=True),
    column("started_at", UtcDateTime, "When, our clock"),
    column("ended_at", UtcDateTime, "When, our clock", nullable=True),
    comment="Operators' decisions about events and dead letters: who, why, when, how many",
)

discarded_dead_letters = Table(
    "discarded_dead_letters",
    metadata,
    primary_key("id", RowId, "Rises with time, with gaps"),
    column("message_id", Identifier, "dead_letters.message_id"),
    column("intervention_id", Identifier, "interventions.intervention_id"),
    column("discarded_at", UtcDateTime, "When it was stored, our clock; kept for OM_PAYLOAD_RETENTION_DAYS"),
    column("body", LargeBinary, "The raw body, byte for byte: personal data, tokens"),
    comment="Bodies of dead letters that an operator discarded, in case it was a mistake",
)

edge_statistics = Table(
    "edge_statistics",
    metadata,
    primary_key("process", Identifier, "Host and process id"),
    primary_key("began_at", UtcDateTime, "When the interval began, the database's clock"),
    column("edge", Identifier, "The host"),
    column("duration_us", BigInteger, "Length of the interval in microseconds, usually a minute"),
    column("answered", Integer, "Webhooks answered 200"),
    column("within_10_ms", Integer, "Answered within 10 ms of the last byte received"),
    column("within_100_ms", Integer, "Within 100 ms"),
    column("within_1_s", Integer, "Within 1 s"),
    column("within_3_s", Integer, "Within 3 s, which the guide asks for"),
    column("within_10_s", Integer, "Within 10 s, after which the platform repeats"),
    column("longest_us", BigInteger, "Longest time to an answer in the last two minutes, in microseconds"),
    column("status_401", Integer, "Refused: signature or header"),
    column("status_413", Integer, "Refused: too large"),
    column("status_429", Integer, "Refused: the queue is too deep"),
    column("status_503", Integer, "Refused: the journal is full or cannot be written"),
    column("other_refusals", Integer, "Refused with another status"),
    Index("ix_edge_statistics_began_at", "began_at"),
    comment="What each edge process answered, minute by minute; a minute without requests has no row",
)

worker_reports = Table(
    "worker_reports",
    metadata,
    primary_key("role", Identifier, "intake, settle, deliver or reconcile"),
    primary_key("worker", Identifier, "Host and name of the process"),
    column("started_at", UtcDateTime, "When the process began, our clock; its counts begin with it"),
    column("reported_at", UtcDateTime, "When it last reported, our clock; every ten seconds"),
    column("figures", Text, "Its counts as JSON: by name, or by name and destination"),
    comment="Running workers and their counts; a worker that stops deletes its row",
)

canaries = Table(
    "canaries",
    metadata,
    primary_key("sender", Identifier, "Host whose om-observe sends an event of our own every minute"),
    column("sent_at_us", BigInteger, "When the newest arrival was sent, microseconds, the sender's clock"),
    column("arrived_at", UtcDateTime, "When it arrived here, database's clock"),
    column("arrivals", Integer, "Those that arrived; they are in no other table and no other count"),
    comment="The newest event of our own that came through the whole service, one row a sender",
)

request_budgets = Table(
    "request_budgets",
    metadata,
    primary_key("name", Identifier, "Whose limit: the OAuth client's id"),
    column(
        "paid_at_us", BigInteger, "When all requests so far will be paid for, microseconds since the epoch"
    ),
    column(
        "background_paid_at_us",
        BigInteger,
        "When reconcile's own tenth of the limit has its next request, likewise",
    ),
    comment="How much of the platform's request limit is used, one row for all hosts",
)
