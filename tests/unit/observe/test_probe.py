"""A part that fails or hangs is named, and its last answer keeps its age."""

import threading
import time

import pytest
from sqlalchemy.exc import ProgrammingError

from messaging.errors import RetryLaterError
from workers.observe import Probe


@pytest.fixture
def part():
    """A part of the service that answers, fails or hangs as the test says."""

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


def test_an_answer_is_used_again_while_it_is_fresh(part):
    reader = Probe("part", part.query, fresh_seconds=60.0)

    assert [reader.read(5.0).value for _ in range(3)] == [1, 1, 1]


def test_a_part_that_is_answering_is_not_asked_twice(part):
    part.can_answer.clear()
    reader = Probe("part", part.query, fresh_seconds=60.0)
    reader.read(0.05)
    reader.read(0.05)
    part.can_answer.set()

    assert reader.read(5.0).value == 1
    time.sleep(0.05)
    assert part.asked == 1


def test_a_failure_is_named_and_keeps_the_last_answer_until_the_part_answers_again(part):
    reader = Probe("part", part.query, fresh_seconds=0.0)
    assert reader.read(5.0).problem is None
    part.error = RetryLaterError("the broker is away")

    failed = reader.read(5.0)
    assert (failed.value, failed.problem) == (1, "the broker is away")
    assert failed.age_s > 0

    part.error = None
    assert reader.read(5.0).problem is None


def test_a_part_that_hangs_blocks_no_reader_and_is_named(part):
    reader = Probe("part", part.query, fresh_seconds=0.0, silent_seconds=0.05)
    assert reader.read(5.0).problem is None
    part.can_answer.clear()

    reader.read(0.06)
    hanging = reader.read(0.06)

    assert hanging.value == 1
    assert "hangs" in hanging.problem
    part.can_answer.set()
    assert reader.read(5.0).problem is None


def test_an_old_answer_does_not_hold_while_the_part_hangs(part):
    reader = Probe("part", part.query, fresh_seconds=0.0, silent_seconds=0.2)
    reader.read(5.0)
    time.sleep(0.2)
    part.can_answer.clear()

    assert "hangs" in reader.read(0.01).problem


def test_a_part_that_never_answered_is_unknown(part):
    part.can_answer.clear()

    reading = Probe("part", part.query).read(0.01)

    assert (reading.value, reading.age_s, reading.problem) == (None, None, "has not answered yet")


def test_a_part_that_is_asked_at_intervals_is_asked_again_after_any_error(part):
    part.error = LookupError("no library declares it")
    reader = Probe("part", part.query, every_seconds=0.02)
    wait_until(lambda: part.asked >= 3)

    assert reader.read(0.0).problem == "it accepts no connection, or did not answer in time"
    part.error = None
    wait_until(lambda: reader.read(0.0).problem is None)


def test_an_earlier_failure_says_nothing_about_a_part_that_hangs_now(part):
    part.error = LookupError("no library declares it")
    reader = Probe("part", part.query, every_seconds=0.02, silent_seconds=0.1)
    wait_until(lambda: reader.read(0.0).problem == "it accepts no connection, or did not answer in time")

    part.can_answer.clear()
    wait_until(lambda: "hangs" in reader.read(0.0).problem)


def test_between_two_intervals_no_reader_has_the_part_asked(part):
    reader = Probe("part", part.query, every_seconds=60.0)
    wait_until(lambda: reader.read(0.0).problem is None)

    assert [reader.read(0.01).value for _ in range(3)] == [1, 1, 1]


def wait_until(condition):
    deadline = time.monotonic() + 10.0
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class PermissionDeniedError(Exception):
    sqlstate = "42501"


def test_a_database_that_refuses_is_not_reported_as_away(part):
    part.error = ProgrammingError("SELECT", {}, PermissionDeniedError("permission denied for table drift"))

    assert Probe("part", part.query).read(5.0).problem == "it refuses a query: SQLSTATE 42501"


def test_the_text_of_a_foreign_error_is_not_shown(part):
    part.error = ValueError("postgresql://user:password@host")

    assert "password" not in Probe("part", part.query).read(5.0).problem
