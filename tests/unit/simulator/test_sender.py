"""The sender: when each post and each retry is due, and what is counted."""

import time

import pytest

from simulator.ledger import Ledger
from simulator.sender import (
    RetryPolicy,
    Sender,
    Tally,
    WebhookResponse,
    percentile,
    retry_delay,
)
from simulator.traffic import Post

POSTS = [Post(number, "message", b"%d" % number) for number in range(5)]
HONOURS = RetryPolicy(honours_retry_after=True)


@pytest.mark.parametrize(
    ("policy", "attempt", "status", "retry_after", "delay"),
    [
        *((RetryPolicy(), 1, status, None, None) for status in (200, 302, 400, 401, 413)),
        (RetryPolicy(), 1, None, None, 5.0),
        (RetryPolicy(), 1, 429, None, 5.0),
        (RetryPolicy(), 1, 500, None, 5.0),
        (RetryPolicy(), 5, 503, None, 5.0),
        (RetryPolicy(), 6, 503, None, None),
        (RetryPolicy(), 1, 429, 17.0, 5.0),
        (HONOURS, 1, 429, 17.0, 17.0),
        (HONOURS, 1, 429, None, 5.0),
        (HONOURS, 6, 429, 17.0, None),
    ],
)
def test_the_platform_sends_again_when_it_says_it_does(policy, attempt, status, retry_after, delay):
    assert retry_delay(policy, WebhookResponse(status, 0.1, retry_after), attempt=attempt) == delay


class Endpoint:
    """Answers with the statuses given for a body, then 200; records when each body was posted."""

    def __init__(self, statuses=None):
        self.posted = []
        self._statuses = {body: list(statuses) for body, statuses in (statuses or {}).items()}

    def post(self, body):
        self.posted.append((body, time.monotonic()))
        left = self._statuses.get(body)
        return WebhookResponse(left.pop(0) if left else 200, 0.001)


def send(endpoint, *, rate=0.0, threads=1, delay=0.05):
    ledger = Ledger(None)
    sender = Sender(endpoint, iter(POSTS), ledger, policy=RetryPolicy(delay=delay, retries=2), rate=rate)
    return sender.run(threads, lambda _tally: None), ledger


def test_posts_are_sent_in_order_and_the_run_ends():
    endpoint = Endpoint()
    summary, _ = send(endpoint)
    assert [body for body, _ in endpoint.posted] == [post.body for post in POSTS]
    assert (summary.posts, summary.answered, summary.retries) == (5, 5, 0)


def test_a_retry_comes_after_its_delay_and_the_other_posts_do_not_wait():
    endpoint = Endpoint({b"0": [503]})
    summary, ledger = send(endpoint)
    assert [body for body, _ in endpoint.posted] == [b"0", b"1", b"2", b"3", b"4", b"0"]
    assert endpoint.posted[5][1] - endpoint.posted[0][1] >= 0.05
    assert (summary.answered, summary.retries) == (5, 1)
    assert sorted(row.attempts for row in ledger.rows.values()) == [1, 1, 1, 1, 2]


def test_a_retry_is_no_reason_to_send_the_other_posts_faster_than_the_rate():
    endpoint = Endpoint({b"0": [503, 503]})
    send(endpoint, rate=50.0, threads=4, delay=0.001)
    moments = {body: moment for body, moment in endpoint.posted if body != b"0"}
    assert moments[b"4"] - endpoint.posted[0][1] >= 4 / 50 - 0.01


def test_a_post_is_given_up_after_its_last_retry():
    summary, _ = send(Endpoint({b"0": [503] * 3}), threads=4, delay=0.01)
    assert (summary.posts, summary.unanswered, summary.requests) == (5, 1, 7)


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([], 0.5, 0.0), ([1.0], 0.99, 1.0), ([1.0, 2.0], 0.5, 1.0), (list(range(1, 101)), 0.99, 99)],
)
def test_a_percentile_is_a_value_that_occurred(values, share, expected):
    assert percentile(values, share) == expected


def test_a_summary_counts_answers_by_status_and_leaves_timeouts_out_of_the_latency():
    tally = Tally()
    tally.add_request(WebhookResponse(200, 0.002))
    tally.add_request(WebhookResponse(None, 10.0))
    tally.settled, tally.answered = 2, 1
    summary = tally.summarise(2.0)
    assert summary.by_status == {"200": 1, "no answer": 1}
    assert (summary.unanswered, summary.p99, summary.rate) == (1, 0.002, 1.0)
