"""A probe reports that a part fails or hangs, and keeps the part's last answer with the answer's age."""

import threading
import time

import psycopg
import pytest
from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from messaging.errors import RetryLaterError
from tests.waiting import wait_until
from workers.observe import Probe

UNREACHABLE = "it accepts no connection or does not answer in time"


@pytest.fixture
def part():
    """A part of the service that answers, fails or hangs as the test specifies."""

    class Part:
        def __init__(self):
            self.error = None
            self.can_answer = threading.Event()
            self.can_answer.set()
            self.asked = 0

        def query(self):
            self.asked += 1
            self.can_answer.wait()
            if self.error is not None:
                raise self.error
            return self.asked

    part = Part()
    yield part
    part.can_answer.set()


def test_a_fresh_answer_is_reused_without_another_query(part):
    reader = Probe("part", part.query, fresh_seconds=60.0)
    assert [reader.read(5.0).value for _ in range(3)] == [1, 1, 1]


def test_a_part_is_not_queried_again_while_it_is_still_answering(part):
    part.can_answer.clear()
    reader = Probe("part", part.query, fresh_seconds=60.0)
    reader.read(0.05)
    reader.read(0.05)
    part.can_answer.set()
    assert reader.read(5.0).value == 1
    time.sleep(0.05)
    assert part.asked == 1


def test_a_failure_is_reported_with_the_last_answer_until_the_part_answers_again(part):
    reader = Probe("part", part.query, fresh_seconds=0.0)
    assert reader.read(5.0).problem is None
    part.error = RetryLaterError("the broker is away")
    failed = reader.read(5.0)
    assert (failed.value, failed.problem) == (1, "the broker is away")
    assert failed.age_s > 0
    part.error = None
    assert reader.read(5.0).problem is None


def test_a_part_that_hangs_is_reported_and_does_not_block_readers(part):
    reader = Probe("part", part.query, fresh_seconds=0.0, silent_seconds=0.05)
    assert reader.read(5.0).problem is None
    part.can_answer.clear()
    reader.read(0.06)
    hanging = reader.read(0.06)
    assert hanging.value == 1
    assert "hangs" in hanging.problem
    part.can_answer.set()
    assert reader.read(5.0).problem is None


def test_a_part_that_never_answered_is_unknown(part):
    part.can_answer.clear()
    reading = Probe("part", part.query).read(0.01)
    assert (reading.value, reading.age_s, reading.problem) == (None, None, "has not answered yet")


def test_a_part_that_is_queried_at_intervals_is_queried_again_after_an_error(part):
    part.error = LookupError("no library declares it")
    reader = Probe("part", part.query, every_seconds=0.02)
    wait_until(lambda: part.asked >= 3)
    assert reader.read(0.0).problem == UNREACHABLE
    part.error = None
    wait_until(lambda: reader.read(0.0).problem is None)


def test_a_part_that_hangs_after_a_failure_is_reported_as_hanging(part):
    part.error = LookupError("no library declares it")
    reader = Probe("part", part.query, every_seconds=0.02, silent_seconds=0.1)
    wait_until(lambda: reader.read(0.0).problem == UNREACHABLE)
    part.can_answer.clear()
    wait_until(lambda: "hangs" in reader.read(0.0).problem)


def test_reading_between_two_intervals_does_not_query_the_part(part):
    reader = Probe("part", part.query, every_seconds=60.0)
    wait_until(lambda: reader.read(0.0).problem is None)
    assert [reader.read(0.01).value for _ in range(3)] == [1, 1, 1]


def caused(error):
    """Return an error as SQLAlchemy raises it: the driver's error is its cause."""
    error.__cause__ = error.orig
    return error


def translated(cause):
    """Return the error that transact() raises for a database error."""
    error = RetryLaterError("TimeoutError")
    error.__cause__ = cause
    return error


class PermissionDeniedError(Exception):
    sqlstate = "42501"


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (
            ProgrammingError("SELECT", {}, PermissionDeniedError("permission denied for table drift")),
            "it refuses a query: SQLSTATE 42501: the database's user lacks a permission",
        ),
        (
            caused(ProgrammingError("SELECT", {}, PermissionDeniedError())),
            "it refuses a query: SQLSTATE 42501: the database's user lacks a permission",
        ),
        (ValueError("postgresql://user:password@host"), UNREACHABLE),
        (translated(OperationalError("SELECT", {}, psycopg.OperationalError("host"))), UNREACHABLE),
        (translated(PoolTimeoutError()), UNREACHABLE),
        (translated(None), "TimeoutError"),
    ],
)
def test_a_failure_is_explained_without_the_text_of_the_error(part, error, problem):
    part.error = error
    assert Probe("part", part.query).read(5.0).problem == problem
