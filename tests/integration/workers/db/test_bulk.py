import sqlite3

import pytest
from sqlalchemy import select, text
from sqlalchemy.event import listen
from sqlalchemy.exc import DBAPIError, IntegrityError

from tests.integration.workers.conftest import ON_POSTGRESQL
from workers.db.engine import insert_into
from workers.db.engine.bulk import SQLITE_VALUES
from workers.db.models import suspects
from workers.parsing.timestamps import moment_of

INSERT = insert_into(suspects, ("message_id", "attempted_at"), attempts="1")


def test_times_are_read_as_they_were_written_and_sort_in_order(engine):
    microseconds = [0, 1, 999_999, 1_000_000, -1, -1_000_000, -1_500_001, 1_715_783_530_123_456, 2**53]
    attempted_at = suspects.c.attempted_at
    with engine.begin() as connection:
        INSERT.execute(connection, [(str(moment), moment) for moment in microseconds])
        moments = connection.scalars(select(attempted_at).order_by(attempted_at)).all()
    assert moments == [moment_of(moment) for moment in sorted(microseconds)]


def test_more_rows_than_sqlite_accepts_in_one_statement_are_all_written(engine, query):
    if engine.dialect.name == "sqlite":
        listen(engine, "connect", _lower_the_limit)
    names = [f"m-{number:05}" for number in range(SQLITE_VALUES // 2 + 1)]
    with engine.begin() as connection:
        INSERT.execute(connection, [(name, 1) for name in names])
    assert [name for (name,) in query("SELECT message_id FROM suspects ORDER BY message_id")] == names


def _lower_the_limit(connection, _record):
    connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, SQLITE_VALUES)


def test_a_failed_statement_raises_sqlalchemys_error_without_the_values(engine):
    with pytest.raises(IntegrityError) as caught, engine.begin() as connection:
        INSERT.execute(connection, [("m", 1), ("m", 2)])
    assert caught.value.params is None


@ON_POSTGRESQL
def test_a_lost_connection_is_not_used_again(engine):
    with pytest.raises(DBAPIError) as caught, engine.begin() as connection:
        _insert_after_its_end(engine, connection)
    assert caught.value.connection_invalidated
    with engine.begin() as connection:
        INSERT.execute(connection, [("m", 1)])


def _insert_after_its_end(engine, connection):
    backend = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    with engine.connect() as other:
        other.execute(text("SELECT pg_terminate_backend(:backend, 5000)"), {"backend": backend})
    INSERT.execute(connection, [("m", 1)])


def test_an_error_does_not_show_the_values_of_its_statement(engine):
    with pytest.raises(DBAPIError) as raised, engine.connect() as connection:
        connection.execute(text("SELECT :words FROM no_table"), {"words": "words of a customer"})
    assert "words of a customer" not in str(raised.value)
