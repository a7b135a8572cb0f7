"""The sender posts and retries on schedule, and counts requests and answers."""

import time
from itertools import accumulate
from pathlib import Path

import pytest

from simulator.ledger import Ledger
from simulator.platform.registrations import read_delays
from simulator.sender import RetryPolicy, Tally, WebhookResponse, WebhookSender, percentile, retry_delay
from simulator.traffic import Post

TUNING = Path(__file__).parents[3] / "docs" / "tuning.md"
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
        *(
            (RetryPolicy((5.0, 30.0, 300.0)), n, 503, None, delay)
            for n, delay in enumerate((5, 30, 300, None), 1)
        ),
    ],
)
def test_a_request_is_retried_as_genesys_documents(policy, attempt, status, retry_after, delay):
    assert retry_delay(policy, WebhookResponse(status, 0.1, retry_after), attempt=attempt) == delay


def test_a_retry_policy_multiplies_each_delay():
    policy = {"maxRetries": 5, "retryIntervalSeconds": 5, "backoffMultiplier": 2.0}
    assert read_delays({"retryPolicy": policy}) == (5.0, 10.0, 20.0, 40.0, 80.0)
    assert read_delays({}) is None


SCHEDULES = {
    "as Genesys documents it": RetryPolicy().delays,
    "the guide's `retryPolicy`: 5 retries, 5 s, backoff 2.0": (5.0, 10.0, 20.0, 40.0, 80.0),
    "as the guide's first chapter describes it": (5.0, 30.0, 300.0),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_tuning_page_shows_the_times_of_each_retry_schedule(name):
    delays = SCHEDULES[name]
    timeout = RetryPolicy().timeout
    attempts = ", ".join(f"{moment:.0f}" for moment in accumulate(delays, initial=0.0))
    hanging = sum(delays) + timeout * (len(delays) + 1)
    row = f"| {name} | {attempts} | {sum(delays):.0f} s | {hanging:.0f} s | {sum(delays[:-1]):.0f} s |"
    assert row in TUNING.read_text()


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
    sender = WebhookSender(endpoint, iter(POSTS), ledger, policy=RetryPolicy((delay, delay)), rate=rate)
    return sender.run(threads, lambda _tally: None), ledger


def test_a_retry_is_sent_after_its_delay_while_other_posts_are_sent():
    endpoint = Endpoint(503)
    summary, ledger = send(endpoint, delay=0.5)
    assert [body for body, _ in endpoint.posted] == [b"0", b"1", b"2", b"3", b"4", b"0"]
    assert endpoint.posted[5][1] - endpoint.posted[0][1] >= 0.5
    assert (summary.posts, summary.answered, summary.retries) == (5, 5, 1)
    assert sorted(row.attempts for row in ledger.rows.values()) == [1, 1, 1, 1, 2]


def test_retries_do_not_raise_the_rate_of_other_posts():
    endpoint = Endpoint(503, 503)
    send(endpoint, rate=10.0, threads=4, delay=0.001)
    moments = {body: moment for body, moment in endpoint.posted if body != b"0"}
    # The first post might be recorded late, so the last one might seem to follow after less than 0.4 s.
    assert moments[b"4"] - endpoint.posted[0][1] >= 0.2


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [([], 50, 0.0), ([1.0], 99, 1.0), ([1.0, 2.0], 50, 1.0), (list(range(1, 101)), 99, 99)],
)
def test_a_percentile_is_one_of_the_measured_values(values, percent, expected):
    assert percentile(values, percent) == expected


def test_a_summary_counts_answers_by_status_and_excludes_timeouts_from_the_latency():
    tally = Tally()
    tally.add_request(WebhookResponse(200, 0.002))
    tally.add_request(WebhookResponse(None, 10.0))
    tally.settled, tally.answered = 2, 1
    summary = tally.summarise(2.0)
    assert summary.by_status == {"200": 1, "no answer": 1}
    assert (summary.unanswered, summary.p99, summary.rate) == (1, 0.002, 1.0)
