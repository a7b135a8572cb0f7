"""A database error becomes one sentence that names the remedy."""

import psycopg
import pytest
from sqlalchemy.exc import OperationalError

from messaging.errors import OpenMessagingError
from omctl.connections import friendly_errors


@pytest.mark.parametrize(
    ("cause", "remedy"),
    [
        (psycopg.errors.TooManyConnections("sorry, too many clients already"), "run the command again later"),
        (psycopg.OperationalError("FATAL: sorry, too many clients already"), "run the command again later"),
        # An error during the connection attempt has no code.
        (psycopg.OperationalError("FATAL: remaining connection slots are reserved"), "run the command again"),
        (
            psycopg.errors.CannotConnectNow("the database system is starting up"),
            "run the command again later",
        ),
        (psycopg.errors.DiskFull("could not extend file"), "enlarge the disk"),
        (
            psycopg.errors.QueryCanceled("canceling statement due to statement timeout"),
            "took too long: run it again later",
        ),
        (psycopg.errors.ConnectionTimeout("connection timeout expired"), "check whether it hangs"),
        (psycopg.OperationalError("connection refused"), "check that it runs"),
    ],
)
def test_the_reason_why_a_database_does_not_answer_decides_the_remedy(cause, remedy):
    with pytest.raises(OpenMessagingError, match=remedy), friendly_errors():
        raise OperationalError("SELECT 1", {}, cause)
