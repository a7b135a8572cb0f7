"""When the sender posts and retries, and what it counts."""

import time

import pytest

from simulator.ledger import Ledger
from simulator.sender import RetryPolicy, Sender, Tally, WebhookResponse, percentile, retry_delay
from simulator.traffic import Post

POSTS = [Post(number, "message", b"%d" % number) for number in range(5)]
HONOURS = RetryPolicy(honours_retry_after=True)


@pytest.mark.parametrize(
    ("policy", "attempt", "status", "retry_after", "delay"),
    [
        *((RetryPolicy(), 1, status, None, None) for status in (200, 302, 400, 401, 413)),
        *((RetryPolicy(), 1, status, None, 5.0) for status in (None, 429, 500)),
        (RetryPolicy(), 5, 503, None, 5.0),
        (RetryPolicy(), 6, 503, None, None),
        (RetryPolicy(), 1, 429, 17.0, 5.0),
        (HONOURS, 1, 429, 17.0, 17.0),
        (HONOURS, 1, 429, None, 5.0),
        (HONOURS, 6, 429, 17.0, None),
    ],
)
def test_a_request_is_retried_as_genesys_documents(policy, attempt, status, retry_after, delay):
    assert retry_delay(policy, WebhookResponse(status, 0.1, retry_after), attempt=attempt) == delay


class Endpoint:
    """Answers body 0 with the given statuses and then 200; records when each body was posted."""

    def __init__(self, *statuses):
        self.posted = []
        self._statuses = list(statuses)

    def post(self, body):
        self.posted.append((body, time.monotonic()))
        status = self._statuses.pop(0) if body == b"0" and self._statuses else 200
        return WebhookResponse(status, 0.001)


def send(endpoint, *, rate=0.0, threads=1, delay=0.05):
    ledger = Ledger(None)
    sender = Sender(endpoint, iter(POSTS), ledger, policy=RetryPolicy(delay=delay, retries=2), rate=rate)
    return sender.run(threads, lambda _tally: None), ledger


def test_a_retry_comes_after_its_delay_while_other_posts_are_sent():
    endpoint = Endpoint(503)
    summary, ledger = send(endpoint)
    assert [body for body, _ in endpoint.posted] == [b"0", b"1", b"2", b"3", b"4", b"0"]
    assert endpoint.posted[5][1] - endpoint.posted[0][1] >= 0.05
    assert (summary.posts, summary.answered, summary.retries) == (5, 5, 1)
    assert sorted(row.attempts for row in ledger.rows.values()) == [1, 1, 1, 1, 2]


def test_retries_do_not_raise_the_rate_of_other_posts():
    endpoint = Endpoint(503, 503)
    send(endpoint, rate=50.0, threads=4, delay=0.001)
    moments = {body: moment for body, moment in endpoint.posted if body != b"0"}
    assert moments[b"4"] - endpoint.posted[0][1] >= 4 / 50 - 0.01


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([], 0.5, 0.0), ([1.0], 0.99, 1.0), ([1.0, 2.0], 0.5, 1.0), (list(range(1, 101)), 0.99, 99)],
)
def test_a_percentile_is_one_of_the_values(values, share, expected):
    assert percentile(values, share) == expected


def test_a_summary_counts_answers_by_status_and_excludes_timeouts_from_the_latency():
    tally = Tally()
    tally.add_request(WebhookResponse(200, 0.002))
    tally.add_request(WebhookResponse(None, 10.0))
    tally.settled, tally.answered = 2, 1
    summary = tally.summarise(2.0)
    assert summary.by_status == {"200": 1, "no answer": 1}
    assert (summary.unanswered, summary.p99, summary.rate) == (1, 0.002, 1.0)
