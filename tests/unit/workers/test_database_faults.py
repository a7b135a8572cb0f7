import sqlite3
from types import SimpleNamespace

import pytest
from sqlalchemy import exc

from messaging.errors import ConfigurationError, RejectedEventError, RetryLaterError, StatementRefusedError
from workers.db.engine import is_outage, make_engine, translate

OUTAGES = ["08006", "40001", "57P01", "57P03", "57014", "53100", "53300", "58030", "55P03"]
SETUP = ["42501", "25006", "28000", "3D000", "XX000"]
MISSING_SCHEMA = ["42P01", "42703"]
ROWS = ["22021", "22P05", "23502", "23514", "54000"]


def error_with(sqlstate, kind=exc.DBAPIError):
    return kind("INSERT", {"text": "personal"}, SimpleNamespace(sqlstate=sqlstate, args=("personal",)))


def sqlite_error(name, kind=sqlite3.OperationalError, wrapper=exc.OperationalError):
    error = kind("personal")
    error.sqlite_errorname = name
    return wrapper("INSERT", {}, error)


SQLITE_OUTAGES = ("SQLITE_BUSY", "SQLITE_BUSY_SNAPSHOT", "SQLITE_FULL", "SQLITE_IOERR_WRITE")
SQLITE_ROW = sqlite_error("SQLITE_CONSTRAINT_NOTNULL", sqlite3.IntegrityError, exc.IntegrityError)
LOST_CONNECTION = error_with(None, exc.OperationalError)


@pytest.mark.parametrize(
    ("errors", "kind", "is_away"),
    [
        (
            [LOST_CONNECTION, *map(error_with, OUTAGES), *map(sqlite_error, SQLITE_OUTAGES)],
            RetryLaterError,
            True,
        ),
        ([*map(error_with, MISSING_SCHEMA)], RetryLaterError, False),
        (
            [*map(error_with, SETUP), sqlite_error("SQLITE_ERROR"), error_with(None, exc.ProgrammingError)],
            StatementRefusedError,
            False,
        ),
        ([*map(error_with, ROWS), SQLITE_ROW, error_with(None, exc.DataError)], RejectedEventError, False),
    ],
)
def test_deliveries_are_held_only_if_the_database_is_away_or_not_migrated(errors, kind, is_away):
    assert {(type(translate(error)), is_outage(error)) for error in errors} == {(kind, is_away)}


def test_a_statement_in_a_transaction_that_already_failed_is_not_an_outage():
    error = error_with("25P02")
    assert translate(error) is error
    assert not is_outage(error)


def test_a_reason_does_not_repeat_values_that_the_driver_quotes():
    assert "personal" not in str(translate(error_with("22021")))
    assert "personal" not in str(translate(error_with("57014")))
    assert translate(error_with("22021")).code == "refused_by_database"


@pytest.mark.parametrize("url", ["", "nonsense", "mysql://localhost/x", "http://localhost"])
def test_the_error_for_an_unsupported_database_names_the_setting(url):
    with pytest.raises(ConfigurationError, match="OM_DATABASE_URL"):
        make_engine(url)


def test_a_postgresql_address_needs_no_driver_name():
    assert make_engine("postgresql://user:secret@127.0.0.1/x").driver == "psycopg"
