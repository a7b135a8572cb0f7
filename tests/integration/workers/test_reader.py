"""The rights that docs/database.md gives to whoever only reports."""

import re
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ProgrammingError

from tests.integration.workers.conftest import deliver, payload_of, processor, said
from workers.intake import own_handlers
from workers.tables.database import engine_of
from workers.tables.models import metadata

DOCUMENTATION = (Path(__file__).parents[3] / "docs/database.md").read_text()
[GRANTS] = re.findall(r"```sql\n(-- Rights to read.*?)```", DOCUMENTATION, re.DOTALL)
PRIVATE = {"event_payloads": "body", "conversation_messages": "text", "duplicate_events": "body"}


@pytest.fixture
def reader(migrated_postgres_url):
    """A connection under the documented rights to a database that holds something of everything."""
    engine = engine_of(migrated_postgres_url)
    conflict = payload_of("genesys/text") | {"text": "another"}
    names = ("genesys/text", "genesys/receipt-failed")
    handlers = {event_type: (handler,) for event_type, handler in own_handlers().items()}
    processor(engine, handlers)(
        deliver(said("Hello")),
        *[deliver(payload_of(name)) for name in names],
        deliver(conflict),
        deliver(b"{"),
    )
    engine.dispose()
    owner = create_engine(make_url(migrated_postgres_url).set(drivername="postgresql+psycopg"))
    with owner.begin() as connection:
        connection.execute(text("DROP ROLE IF EXISTS open_messaging_reader"))
        connection.execute(text(GRANTS))
    try:
        with owner.connect() as connection:
            connection.execute(text("SET ROLE open_messaging_reader"))
            connection.commit()
            yield connection
            connection.execute(text("RESET ROLE"))
            connection.commit()
    finally:
        with owner.begin() as connection:
            connection.execute(text("DROP OWNED BY open_messaging_reader"))
            connection.execute(text("DROP ROLE open_messaging_reader"))
        owner.dispose()


@pytest.mark.parametrize(
    "name",
    [
        "events_v1",
        "events_v2",
        "dead_letters_v1",
        "conversations_v1",
        "duplicate_events_v1",
        "message_receipts",
    ],
)
def test_a_reader_reads_what_reports_need(reader, name):
    assert reader.execute(text(f"SELECT * FROM {name}")).all()  # noqa: S608  # a name of ours


@pytest.mark.parametrize(("table", "column"), PRIVATE.items())
def test_a_reader_reads_no_content(reader, table, column):
    for what in ("*", column, "count(*)"):
        with pytest.raises(ProgrammingError, match="permission denied"):
            reader.execute(text(f"SELECT {what} FROM {table}"))  # noqa: S608  # names of ours
        reader.rollback()


@pytest.mark.parametrize("table", sorted(metadata.tables))
def test_a_reader_writes_nothing(reader, table):
    with pytest.raises(ProgrammingError, match="permission denied"):
        reader.execute(text(f"DELETE FROM {table}"))  # noqa: S608  # a name of ours
    reader.rollback()
