"""Tables of the service itself: reconciliation, decisions of operators, reports of its processes."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Index, Integer, LargeBinary, Table, Text, true

from workers.db.models.columns import Identifier, RowId, UtcDateTime, column, metadata, partial, primary_key

reconciliations = Table(
    "reconciliations",
    metadata,
    primary_key("id", RowId, "Rises with time, with gaps"),
    column("started_by", Text, "timer, or the person at the command line"),
    column("compared_from", UtcDateTime, "What happened from then on is compared, platform's clock"),
    column("compared_to", UtcDateTime, "What happened before is compared; the next one goes on from here"),
    column(
        "page",
        Integer,
        "Next page of the platform's list of conversations; null: all are listed",
        nullable=True,
    ),
    column("conversations", Integer, "Conversations that were read", server_default="0"),
    column("compared", Integer, "Messages and receipts that were compared", server_default="0"),
    column("missing", Integer, "Of these, how many nobody had brought: new gaps", server_default="0"),
    column("published", Integer, "Gaps that were published to the events' queue", server_default="0"),
    column("waiting", Integer, "Gaps of earlier ones that are not processed yet", server_default="0"),
    column(
        "unreadable",
        Integer,
        "Events of the history that cannot be compared, or not be recorded",
        server_default="0",
    ),
    column("unread", Integer, "Conversations that only their counts were compared of", server_default="0"),
    column("ours", Integer, "Events of webhooks that were looked for in the history", server_default="0"),
    column("unmatched", Integer, "Of these, how many the history does not have", server_default="0"),
    column("mismatch", Text, "Why nothing more was published; null: ours match", nullable=True),
    column("decided_by", Text, "Operator who decided about the mismatch; null: none yet", nullable=True),
    column("started_at", UtcDateTime, "When, the database's clock"),
    column(
        "finished_at", UtcDateTime, "When, the database's clock; null: under way, or killed", nullable=True
    ),
    column("held_by", Text, "The process that does it"),
    column("held_until", UtcDateTime, "When another process takes it over, the database's clock"),
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
    column("reconciliation_id", RowId, "reconciliations.id of the one that found it"),
    column("conversation_id", Identifier, "The platform's conversation"),
    column("event_type", Text, "What was missing"),
    column("platform_message_id", Identifier, "The message it is, or is about"),
    column("occurred_at", UtcDateTime, "The platform's clock"),
    column("found_at", UtcDateTime, "When, our clock"),
    column("published_at", UtcDateTime, "When the broker had confirmed the copy, our clock"),
    column("message_id", Identifier, "Of the copy, as in processed_events and dead_letters"),
    comment="What the platform had and we had not; reconciliation_gaps_v1 says what became of it",
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
    column("listed_at", UtcDateTime, "When it last had news of ours, or was first listed"),
    column("counted_at", UtcDateTime, "When its messages were counted last, our clock", nullable=True),
    column("differs", Boolean, "Whether the counts did not agree then", server_default=true()),
    column("messages", Integer, "Messages that it had when it was read last", nullable=True),
    column("read_at", UtcDateTime, "When it was read last, our clock", nullable=True),
    column("fingerprint", Text, "Of what was read; the same again needs no comparison", nullable=True),
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

edge_statistics = Table(
    "edge_statistics",
    metadata,
    primary_key("process", Identifier, "Unique to an edge process"),
    primary_key("began_at", UtcDateTime, "When the interval began, the edge's clock"),
    column("edge", Identifier, "The host"),
    column("duration_us", BigInteger, "How long the interval was: a minute as a rule; microseconds"),
    column("answered", Integer, "Webhooks answered 200"),
    column("within_10_ms", Integer, "Of these, how many within 10 ms of being there whole"),
    column("within_100_ms", Integer, "Within 100 ms"),
    column("within_1_s", Integer, "Within 1 s"),
    column("within_3_s", Integer, "Within 3 s, which the guide asks for"),
    column("within_10_s", Integer, "Within 10 s, after which the platform repeats"),
    column("longest_us", BigInteger, "The longest, the process being held up included; microseconds"),
    column("status_401", Integer, "Refused: the signature, or a header"),
    column("status_413", Integer, "Refused: too large"),
    column("status_429", Integer, "Refused: shed, the queue being too deep"),
    column("status_503", Integer, "Refused: the journal full or not written"),
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
    column("reported_at", UtcDateTime, "When it last said so, our clock; every ten seconds"),
    column("figures", Text, "Its counts as JSON: by name, or by name and destination"),
    comment="Workers that run, and what each has counted; one that stops takes its row away",
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
