import sqlite3
from types import SimpleNamespace

import pytest
from sqlalchemy.exc import DBAPIError

from messaging.errors import ConfigurationError, RejectedEventError, RetryLaterError
from workers.tables.database import engine_of, translated


def error_with(sqlstate):
    return DBAPIError("INSERT", {"text": "personal"}, SimpleNamespace(sqlstate=sqlstate, args=("personal",)))


@pytest.mark.parametrize(
    "sqlstate",
    [
        "08006",
        "57P01",
        "57P03",
        "57014",
        "53100",
        "53300",
        "58030",
        "42P01",
        "42501",
        "25006",
        "XX000",
        "55P03",
    ],
)
def test_an_outage_holds_the_events(sqlstate):
    assert isinstance(translated(error_with(sqlstate)), RetryLaterError)


@pytest.mark.parametrize("sqlstate", ["22021", "22P05", "23502", "23514", "54000"])
def test_a_rows_own_fault_dead_letters_it(sqlstate):
    error = translated(error_with(sqlstate))

    assert isinstance(error, RejectedEventError)
    assert error.code == "refused_by_database"


def test_a_lost_connection_without_a_state_is_an_outage():
    assert isinstance(translated(error_with(None)), RetryLaterError)


def test_sqlites_faults_are_told_apart():
    row = DBAPIError("INSERT", {}, sqlite3.IntegrityError("NOT NULL constraint failed"))
    busy = DBAPIError("INSERT", {}, sqlite3.OperationalError("database is locked"))

    assert isinstance(translated(row), RejectedEventError)
    assert isinstance(translated(busy), RetryLaterError)


def test_no_reason_repeats_what_the_driver_quotes():
    assert "personal" not in str(translated(error_with("22021")))
    assert "personal" not in str(translated(error_with("57014")))


@pytest.mark.parametrize("url", ["", "nonsense", "mysql://localhost/x", "http://localhost"])
def test_an_address_of_another_kind_is_refused_by_name(url):
    with pytest.raises(ConfigurationError, match="OM_DATABASE_URL"):
        engine_of(url)


def test_a_postgresql_address_needs_no_driver_in_it():
    assert engine_of("postgresql://user:secret@127.0.0.1/x").driver == "psycopg"
