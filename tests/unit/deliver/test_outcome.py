"""The answer to an attempt determines its outcome, the next delay and the circuit breaker's state."""

import pytest

from workers.deliver import Destination, Outcome
from workers.deliver.outcome import (
    CAP_SECONDS,
    DOWN_CONVERSATIONS,
    HOLD_SECONDS,
    MAX_HELD_DELAY_SECONDS,
    REFUSING_PAUSE_SECONDS,
    REFUSING_SECONDS,
    Breaker,
    FailedAttempts,
    HttpResult,
    classify,
    held_delay,
    retry_delay,
)

CRM = Destination("crm", "https://crm.example/", ("whsec_c2VjcmV0",), (), attempts=5, give_up=100.0)
TAKEN, REFUSED, HELD = (HttpResult(status, str(status)) for status in (200, 422, 404))
AWAY = HttpResult(None, "")
NOW_US = 1_700_000_000_000_000


def judge(result, history, *, is_probe=False, last_taken_us=0):
    return classify(result, CRM, history, NOW_US, last_taken_us=last_taken_us, is_probe=is_probe)


def before(seconds):
    return NOW_US - round(seconds * 1_000_000)


@pytest.mark.parametrize(
    ("statuses", "outcome"),
    [
        ((200, 204, 299), Outcome.DELIVERED),
        ((None, 408, 425, 429, 500, 503, 599), Outcome.TRANSIENT),
        ((301, 400, 422), Outcome.REFUSED),
        ((401, 403, 404, 405, 407), Outcome.HELD),
        ((410,), Outcome.GONE),
    ],
)
def test_the_status_decides_the_outcome_of_a_first_attempt(statuses, outcome):
    for status in statuses:
        assert judge(HttpResult(status, "code"), FailedAttempts())[0] is outcome


@pytest.mark.parametrize(
    ("is_away", "statuses"), [(True, (None, 429, 500, 503)), (False, (408, 404, 422, 200))]
)
def test_a_destination_counts_as_away_if_it_does_not_answer_or_answers_429_or_5xx(is_away, statuses):
    assert {HttpResult(status, "code").is_away for status in statuses} == {is_away}
    assert not HttpResult(None, "payload_gone", is_unsendable=True).is_away


@pytest.mark.parametrize(
    ("attempts", "seconds", "is_probe", "expected"),
    [
        (3, 99.0, False, (Outcome.TRANSIENT, 4)),
        (4, 0.0, False, (Outcome.EXHAUSTED, 5)),
        (1, 100.0, False, (Outcome.EXHAUSTED, 2)),
        (4, 100.0, True, (Outcome.TRANSIENT, 4)),
    ],
)
def test_attempts_are_limited_in_number_and_time_but_probes_are_not(attempts, seconds, is_probe, expected):
    history = FailedAttempts(attempts, before(seconds))
    assert judge(HttpResult(503, "503"), history, is_probe=is_probe) == expected
    assert judge(TAKEN, history, is_probe=is_probe) == (Outcome.DELIVERED, attempts)


@pytest.mark.parametrize(
    ("attempts", "refused_seconds", "has_taken_since", "expected"),
    [
        # The first refusal restarts the count of failed attempts.
        (4, None, False, (Outcome.HELD, 0)),
        (0, HOLD_SECONDS - 1, False, (Outcome.HELD, 0)),
        (0, HOLD_SECONDS, False, (Outcome.REFUSED, 0)),
        # Outages can cause two refusals. After three, with events accepted in between, the event is at fault.
        (0, 1.0, True, (Outcome.HELD, 1)),
        (0, HOLD_SECONDS, True, (Outcome.HELD, 1)),
        (1, 1.0, True, (Outcome.REFUSED, 2)),
    ],
)
def test_a_404_counts_only_if_other_events_are_taken(attempts, refused_seconds, has_taken_since, expected):
    refused_us = None if refused_seconds is None else before(refused_seconds)
    history = FailedAttempts(attempts, before(1e6), refused_us)
    last_taken_us = (refused_us or 0) + (1 if has_taken_since else -1)
    assert judge(HELD, history, last_taken_us=last_taken_us) == expected


def test_a_held_event_is_tried_at_growing_intervals_of_at_most_a_minute():
    assert all(0.5 <= held_delay(0.0) <= 1.0 for _ in range(20))
    assert all(5.0 <= held_delay(10.0) <= 10.0 for _ in range(20))
    assert all(30.0 <= held_delay(800.0) <= MAX_HELD_DELAY_SECONDS for _ in range(20))


@pytest.mark.parametrize("attempts", [0, 1, 5, 12, 10_000])
def test_delays_grow_to_a_cap_and_are_never_shorter_than_requested(attempts):
    ceiling = min(CAP_SECONDS, 2.0 ** min(max(attempts - 1, 0), 20))
    assert all(ceiling / 4 <= retry_delay(attempts) <= ceiling for _ in range(50))
    assert retry_delay(attempts, 1000.0) == 1000.0


def test_the_attempts_at_an_event_take_five_to_eighteen_minutes():
    minutes = [sum(retry_delay(failed) for failed in range(1, 12)) / 60 for _ in range(50)]
    assert 4.6 < min(minutes) <= max(minutes) < 18.6


def record(breaker, result, *conversations, now=0.0):
    for conversation in conversations:
        breaker.record(result, result.outcome, conversation, now)


def some(count):
    return [f"c-{number}" for number in range(count)]


ALMOST_DOWN, DOWN = (AWAY, *some(DOWN_CONVERSATIONS - 1)), (AWAY, *some(DOWN_CONVERSATIONS))
LATER = REFUSING_SECONDS - 1.0


@pytest.mark.parametrize(
    ("answers", "is_down", "slots"),
    [
        pytest.param([(AWAY, *["c-1"] * 100)], False, {(0.0, 3): 5}, id="one conversation's failures"),
        pytest.param([DOWN], True, {(LATER, 0): 1, (LATER, 1): 0}, id="one that is away is probed"),
        *[([DOWN, (answer, "c-1")], False, {(LATER, 0): 8}) for answer in (TAKEN, REFUSED, HELD)],
        pytest.param([ALMOST_DOWN, (TAKEN, "c"), ALMOST_DOWN], False, {(LATER, 0): 8}, id="an answer"),
        pytest.param([(REFUSED, *some(100))], False, {(0.0, 0): 8}, id="refusals of single events"),
        pytest.param(
            [(HttpResult(429, "429", 5.0), "c-1")], False, {(4.9, 0): 0, (5.0, 0): 8}, id="a Retry-After"
        ),
    ],
)
def test_only_a_destination_that_is_away_gets_fewer_requests(answers, is_down, slots):
    breaker = Breaker()
    for answer in answers:
        record(breaker, *answer)
    assert breaker.is_down is is_down
    assert {look: breaker.free_slots(*look, 8) for look in slots} == slots


def test_a_destination_that_refuses_everything_is_probed_until_it_accepts_an_event():
    breaker = Breaker()
    for conversation in some(100):
        record(breaker, HELD, conversation)
    then = REFUSING_SECONDS
    for now, is_refusing, slots in ((then - 0.1, False, 8), (then, True, 1)):
        assert (breaker.is_refusing(now), breaker.free_slots(now, 0, 8)) == (is_refusing, slots)
    assert not breaker.is_down
    record(breaker, HELD, "c-0", now=then)
    assert [breaker.free_slots(now, 0, 8) for now in (then, then + REFUSING_PAUSE_SECONDS)] == [0, 1]
    record(breaker, TAKEN, "c-1", now=then)
    later = then + REFUSING_PAUSE_SECONDS
    assert (breaker.is_refusing(later), breaker.free_slots(later, 0, 8)) == (False, 8)


def test_a_destination_that_accepts_one_event_in_thirty_seconds_is_not_probed():
    breaker = Breaker()
    for seconds in range(0, 300, 20):
        record(breaker, HELD, *some(50), now=seconds)
        assert breaker.free_slots(seconds + 19, 0, 8) == 8
        record(breaker, TAKEN, "good", now=seconds + 19)
