"""Fill all tables of a migrated PostgreSQL database with a month of traffic, without the service."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import create_engine

if TYPE_CHECKING:
    from collections.abc import Iterator

MONTH: Final = Path(__file__).with_name("month.sql")
EVENTS_PER_CONVERSATION: Final = 10
TABLES: Final = (
    "processed_events",
    "conversations",
    "conversation_messages",
    "message_receipts",
    "routing_updates",
    "outbox",
    "deliveries",
)
"""The large tables. For each query, the results show which of these tables it reads completely."""

_SWITCH: Final = (
    "UPDATE pg_index SET indisready = {there}, indisvalid = {there} WHERE indrelid = '{table}'::regclass"
)


def fill(url: str, events: int) -> None:
    """Write a month of *events* events to an empty, migrated database; millions of events take minutes.

    The indexes are built at the end, which saves hours.
    """
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            for statement in _statements():
                connection.exec_driver_sql(statement, {"conversations": events // EVENTS_PER_CONVERSATION})
    finally:
        engine.dispose()


def _statements() -> Iterator[str]:
    yield from (_SWITCH.format(there="false", table=table) for table in TABLES)
    yield from MONTH.read_text(encoding="utf-8").strip().removesuffix(";").split(";\n")
    yield from (_SWITCH.format(there="true", table=table) for table in TABLES)
    yield from (f"REINDEX TABLE {table}" for table in TABLES)
    yield "VACUUM ANALYZE"
