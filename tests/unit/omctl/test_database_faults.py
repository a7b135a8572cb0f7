"""An error of the database becomes one sentence that names the remedy."""

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
        # An error of the connection attempt has no code.
        (psycopg.OperationalError("FATAL: remaining connection slots are reserved"), "run the command again"),
        (
            psycopg.errors.CannotConnectNow("the database system is starting up"),
            "run the command again later",
        ),
        (psycopg.errors.DiskFull("could not extend file"), "enlarge the disk"),
        (psycopg.OperationalError("connection refused"), "check that it runs"),
    ],
)
def test_a_database_that_refuses_for_now_is_not_reported_as_one_that_does_not_run(cause, remedy):
    with pytest.raises(OpenMessagingError, match=remedy), friendly_errors():
        raise OperationalError("SELECT 1", {}, cause)
