"""Name the table of what the edge answered."""

from __future__ import annotations

from sqlalchemy import BigInteger, Index, Integer, Table

from workers.db.models.columns import Identifier, UtcDateTime, column, metadata, primary_key

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
