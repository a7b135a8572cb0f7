"""What an attempt's end means, and when the next one is."""

from datetime import UTC, datetime

import pytest

from workers.deliver import Destination
from workers.deliver.breaker import (
    DOWN_CONVERSATIONS,
    REFUSING_CONVERSATIONS,
    REFUSING_PAUSE_SECONDS,
    REFUSING_SECONDS,
    Breaker,
)
from workers.deliver.judgement import (
    CAP_SECONDS,
    HOLD_SECONDS,
    LONGEST_RETRY_AFTER,
    MAX_HELD_PAUSE_SECONDS,
    Answer,
    Before,
    End,
    judge,
    pause_after,
    pause_held,
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
        (422, End.PERMANENT),
        (401, End.HELD),
        (403, End.HELD),
        (404, End.HELD),
        (405, End.HELD),
        (407, End.HELD),
        (410, End.GONE),
    ],
)
def test_what_a_status_means(status, end):
    assert judge(Answer(status, "word"), CRM, Before(), is_probe=False) is end


@pytest.mark.parametrize(
    ("status", "is_away"),
    [
        (None, True),
        (429, True),
        (500, True),
        (503, True),
        (408, False),
        (404, False),
        (422, False),
        (200, False),
    ],
)
def test_a_destination_is_away_only_if_it_gives_no_answer_or_one_that_says_so(status, is_away):
    assert Answer(status, "word").is_away is is_away
    assert not Answer(None, "payload_gone", is_hopeless=True).is_away


@pytest.mark.parametrize(
    ("attempts", "seconds", "is_probe", "end"),
    [
        (3, 99.0, False, End.TRANSIENT),
        (4, 0.0, False, End.EXHAUSTED),
        (1, 100.0, False, End.EXHAUSTED),
        (4, 100.0, True, End.TRANSIENT),
    ],
)
def test_attempts_are_limited_in_number_and_in_time_and_probes_do_not_count(attempts, seconds, is_probe, end):
    before = Before(attempts, seconds)
    assert judge(Answer(503, "503"), CRM, before, is_probe=is_probe) is end
    assert judge(Answer(200, "200"), CRM, before, is_probe=is_probe) is End.DELIVERED


@pytest.mark.parametrize(
    ("refused_seconds", "has_taken_since", "end"),
    [
        (0.0, False, End.HELD),
        (HOLD_SECONDS - 1, False, End.HELD),
        (1.0, True, End.PERMANENT),
        (HOLD_SECONDS, False, End.PERMANENT),
    ],
)
def test_an_event_is_refused_for_itself_once_another_was_taken_or_after_the_hold(
    refused_seconds, has_taken_since, end
):
    before = Before(1000, 1e6, refused_seconds, has_taken_since)
    assert judge(Answer(404, "404"), CRM, before, is_probe=False) is end


def test_a_held_event_is_tried_ever_more_seldom_and_at_least_once_a_minute():
    assert all(0.5 <= pause_held(0.0) <= 1.0 for _ in range(20))
    assert all(5.0 <= pause_held(10.0) <= 10.0 for _ in range(20))
    assert all(30.0 <= pause_held(800.0) <= MAX_HELD_PAUSE_SECONDS for _ in range(20))


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


def test_refusals_close_nothing_and_show_that_a_destination_is_back():
    breaker = Breaker()
    failed(breaker, DOWN_CONVERSATIONS)
    assert breaker.answered()
    assert breaker.room(1000.0, 0, 8) == 8
    assert not any(breaker.answered() for _ in range(100))
    assert breaker.room(0.0, 0, 8) == 0
    assert breaker.room(1000.0, 0, 8) == 8


def test_a_destination_that_refuses_everything_is_probed_until_it_takes_one():
    breaker = Breaker()
    for number in range(REFUSING_CONVERSATIONS):
        assert breaker.room(0.0, 0, 8) == 8
        breaker.refused(f"c-{number}", 0.0)
    assert breaker.room(0.0, 0, 8) == 1
    assert not breaker.is_down
    breaker.refused("c-0", 0.0)
    assert breaker.room(0.0, 0, 8) == 0
    assert breaker.room(REFUSING_PAUSE_SECONDS, 0, 8) == 1
    assert not breaker.refuses_everything(REFUSING_SECONDS - 1)
    assert breaker.refuses_everything(REFUSING_SECONDS)
    breaker.succeeded()
    assert breaker.room(REFUSING_SECONDS, 0, 8) == 8
    assert not breaker.refuses_everything(REFUSING_SECONDS)
