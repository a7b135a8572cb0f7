"""The edge counts its responses by delay and status, and logs a sample of the refusals."""

import pytest
from structlog.testing import capture_logs

from tests.fakes.clock import FakeClock
from webhook_api.answers import LINES_PER_SECOND, LONGEST_SECONDS, Answers
from webhook_api.ingest import TOO_LARGE, UNAUTHORIZED


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def answers(clock):
    return Answers(clock)


def answer(answers, clock, responses=1, seconds=0.0, *, is_durable=True):
    answers.open_turn()
    clock.seconds += seconds
    answers.close_turn(responses, is_durable=is_durable)


def test_responses_are_counted_by_their_delay(answers, clock):
    for responses, seconds in ((16, 0.0), (3, 0.0078125), (2, 0.5), (2, 0.5), (1, 3.5), (1, 11.0), (0, 12.0)):
        answer(answers, clock, responses, seconds)
    assert answers.durations == [19, 0, 4, 0, 1, 1]
    assert answers.seconds == pytest.approx(3 * 0.0078125 + 4 * 0.5 + 3.5 + 11.0)
    assert answers.status()["longest_s"] == 11.0


def test_a_response_to_an_event_that_the_disk_refused_counts_as_a_refusal(answers, clock):
    answer(answers, clock, 2, is_durable=False)
    assert (answers.refusals, sum(answers.durations)) == ({"503": 2}, 0)


@pytest.mark.parametrize(
    ("ticks", "longest"),
    [
        pytest.param([1.0], 4.0, id="the answer"),
        pytest.param([1.0, LONGEST_SECONDS - 4.0], 4.0, id="kept for a minute"),
        pytest.param([1.0, 9.0], 8.0, id="the loop was held up for longer"),
        pytest.param([LONGEST_SECONDS, LONGEST_SECONDS], 0.0, id="forgotten after two"),
    ],
)
def test_the_longest_delay_is_kept_for_one_to_two_minutes(answers, clock, ticks, longest):
    answer(answers, clock, seconds=4.0)
    clock.seconds -= 4.0
    for seconds in ticks:
        clock.seconds += seconds
        answers.tick(seconds if seconds != 9.0 else 1.0)
    assert answers.status()["longest_s"] == longest


def test_log_lines_of_refusals_are_rate_limited_and_omitted_lines_are_counted(answers, clock):
    with capture_logs() as lines:
        for _ in range(1000):
            answers.refuse(UNAUTHORIZED, "signature missing")
        answers.refuse(TOO_LARGE, request_id="r-1")
        clock.seconds += 1
        answers.refuse(UNAUTHORIZED, "signature missing")
    *_, other, last = lines
    assert len(lines) == LINES_PER_SECOND + 2
    assert last["left_out"] == 1000 - LINES_PER_SECOND
    assert answers.refusals == {"401": 1001, "413": 1}
    assert other == {
        "event": "webhook_refused",
        "log_level": "warning",
        "status": 413,
        "reason": "body too large",
        "request_id": "r-1",
    }
