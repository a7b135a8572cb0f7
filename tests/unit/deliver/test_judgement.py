"""What an attempt's end means, and when the next one is."""

from datetime import UTC, datetime

import pytest

from workers.deliver import Destination
from workers.deliver.breaker import DOWN_CONVERSATIONS, Breaker
from workers.deliver.judgement import (
    CAP_SECONDS,
    LONGEST_RETRY_AFTER,
    Answer,
    End,
    judged,
    pause_after,
    retry_after,
)

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
CRM = Destination("crm", "https://crm.example/", ("whsec_c2VjcmV0",), (), attempts=5, give_up=100.0)


@pytest.mark.parametrize(
    ("status", "end"),
    [
        (200, End.DELIVERED),
        (204, End.DELIVERED),
        (299, End.DELIVERED),
        (None, End.TRANSIENT),
        (408, End.TRANSIENT),
        (425, End.TRANSIENT),
        (429, End.TRANSIENT),
        (500, End.TRANSIENT),
        (503, End.TRANSIENT),
        (599, End.TRANSIENT),
        (301, End.PERMANENT),
        (400, End.PERMANENT),
        (401, End.PERMANENT),
        (404, End.PERMANENT),
        (422, End.PERMANENT),
        (410, End.GONE),
    ],
)
def test_what_a_status_means(status, end):
    assert judged(Answer(status, "word"), CRM, attempts=1, seconds=0.0) is end


@pytest.mark.parametrize(
    ("attempts", "seconds", "end"),
    [(4, 99.0, End.TRANSIENT), (5, 0.0, End.EXHAUSTED), (1, 100.0, End.EXHAUSTED)],
)
def test_attempts_are_limited_in_number_and_in_time(attempts, seconds, end):
    assert judged(Answer(503, "503"), CRM, attempts=attempts, seconds=seconds) is end
    assert judged(Answer(200, "200"), CRM, attempts=attempts, seconds=seconds) is End.DELIVERED


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("nan", None),
        ("7", 7.0),
        ("-7", 0.0),
        ("inf", LONGEST_RETRY_AFTER),
        ("99999999", LONGEST_RETRY_AFTER),
        ("Thu, 01 Jan 2026 12:00:30 GMT", 30.0),
        ("Thu, 01 Jan 2026 11:00:30 GMT", 0.0),
    ],
)
def test_a_retry_after_is_a_number_or_a_date_within_reason(header, seconds):
    assert retry_after(header, NOW) == seconds


@pytest.mark.parametrize("attempts", [0, 1, 5, 12, 10_000])
def test_pauses_grow_to_a_cap_and_are_never_shorter_than_asked(attempts):
    pauses = [pause_after(attempts) for _ in range(50)]
    assert 0.0 <= min(pauses) <= max(pauses) <= min(CAP_SECONDS, 2.0 ** min(max(attempts - 1, 0), 20))
    assert pause_after(attempts, 1000.0) == 1000.0


def failed(breaker, count, now=0.0):
    return [breaker.failed(f"c-{number}", now, None) for number in range(count)]


def test_one_conversations_failures_close_nothing_to_the_others():
    breaker = Breaker()
    assert not any(breaker.failed("c-1", 0.0, None) for _ in range(100))
    assert breaker.room(0.0, 3, 8) == 5


def test_a_destination_that_fails_for_several_in_a_row_is_tried_by_one_at_a_time():
    breaker = Breaker()
    assert failed(breaker, DOWN_CONVERSATIONS)[-1]
    assert breaker.room(1000.0, 0, 8) == 1
    assert breaker.room(1000.0, 1, 8) == 0
    assert breaker.succeeded()
    assert breaker.room(1000.0, 0, 8) == 8


def test_a_success_between_failures_keeps_it_open():
    breaker = Breaker()
    failed(breaker, DOWN_CONVERSATIONS - 1)
    assert not breaker.succeeded()
    assert not any(failed(breaker, DOWN_CONVERSATIONS - 1))


def test_a_retry_after_holds_everything_for_so_long():
    breaker = Breaker()
    breaker.failed("c-1", 10.0, 5.0)
    assert breaker.room(14.9, 0, 8) == 0
    assert breaker.room(15.0, 0, 8) == 8
