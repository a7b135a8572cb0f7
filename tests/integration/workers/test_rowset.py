import pytest
from sqlalchemy import select

from workers.parsing.timestamps import moment_of
from workers.tables.models import suspects
from workers.tables.rowset import MOMENT, TEXT, RowStatement

INSERT = RowStatement(
    "INSERT INTO suspects (message_id, attempts, attempted_at)"
    " SELECT {message_id}, 1, {attempted_at} FROM {rows} WHERE true",
    {"message_id": TEXT, "attempted_at": MOMENT},
)


@pytest.mark.parametrize(
    "microseconds",
    [0, 1, 999_999, 1_000_000, -1, -1_000_000, -1_500_001, 1_715_783_530_123_456, 2**53],
)
def test_an_instant_is_read_as_it_was_written_whatever_the_database(engine, microseconds):
    with engine.begin() as connection:
        INSERT.execute(connection, [("m", microseconds)])
        moment = connection.execute(select(suspects.c.attempted_at)).scalar_one()

    assert moment == moment_of(microseconds)


def test_times_of_before_the_epoch_sort_before_later_ones_on_sqlite(engine, query):
    moments = [1_000_001, -1, 0, -2_000_000, 999_999]
    with engine.begin() as connection:
        INSERT.execute(connection, [(str(moment), moment) for moment in moments])

    found = [int(name) for (name,) in query("SELECT message_id FROM suspects ORDER BY attempted_at")]

    assert found == sorted(moments)
