"""A backlog is republished during live traffic, and the queue is not filled above its low watermark."""

import time
from contextlib import contextmanager
from itertools import pairwise
from statistics import median

import pika
import pytest
import requests

from messaging.envelope import WEBHOOK, encode_properties
from messaging.topology import EVENTS_QUEUE
from tests.services import declare_topology, signature
from tests.unit.webhook_api.journals import left_by_a_dead_process
from tests.waiting import wait_until, working

PREFETCH = 50


def _leave_in_journal(directory, count):
    properties = encode_properties("dead", 1, "request", WEBHOOK)
    left_by_a_dead_process(
        directory / "state" / "journal", [b'{"n":%d}' % n for n in range(count)], properties
    )


@contextmanager
def _working(amqp_url, rate):
    """Consume *rate* deliveries per second from the events queue, and acknowledge them."""
    connection = pika.BlockingConnection(pika.URLParameters(amqp_url))

    def work(stopped):
        channel, taken = connection.channel(), 0
        channel.basic_qos(prefetch_count=PREFETCH)
        started = time.monotonic()
        for method, _, _ in channel.consume(EVENTS_QUEUE, inactivity_timeout=0.05):
            if stopped.is_set():
                break
            if method is not None:
                taken += 1
                time.sleep(max(0.0, started + taken / rate - time.monotonic()))
                channel.basic_ack(method.delivery_tag)
            else:
                started = time.monotonic() - taken / rate
        connection.close()

    with working(work):
        yield


@pytest.fixture
def queue(vhost, queue_of):
    declare_topology(vhost.amqp_url)
    return queue_of(vhost.amqp_url)


def _post(http, edge, number):
    body = b'{"live":%d}' % number
    return http.post(edge.url, data=body, headers={"X-Hub-Signature-256": signature(body)}, timeout=10)


def test_a_backlog_stops_at_the_low_watermark(rabbitmq, vhost, tmp_path, make_edge, queue):
    """Guarantee 5.4."""
    low, high = 300, 800
    _leave_in_journal(tmp_path, 3000)
    watermarks = {"OM_QUEUE_DEPTH_HIGH": str(high), "OM_QUEUE_DEPTH_LOW": str(low)}
    depths, statuses = [], []
    with _working(vhost.amqp_url, rate=15), requests.Session() as http:
        edge = make_edge(vhost.amqp_url, rabbitmq.management_url, **watermarks)
        wait_until(lambda: edge.status("gate")["queue_depth"] is not None)
        ends = time.monotonic() + 15.0
        while time.monotonic() < ends:
            statuses.append(_post(http, edge, len(statuses)).status_code)
            depths.append(queue.ready())
            time.sleep(0.2)
        # Under load, the answer to one of the edge's probes can wrongly be 0. The edge then publishes up to
        # *low* events too many, and no more until the depth has fallen to the low watermark.
        wait_until(lambda: queue.ready() <= low + 50, seconds=60.0)
        republished = edge.health()["republished"]
    assert statuses.count(429) == 0
    assert sum(before <= low + 50 < after for before, after in pairwise([0, *depths])) <= 1
    assert max(depths) <= 2 * low + 50
    assert republished > low


def test_retry_after_approximates_the_time_until_shedding_ends(rabbitmq, vhost, tmp_path, make_edge, queue):
    low, high = 1000, 3000
    _leave_in_journal(tmp_path, 4000)
    watermarks = {"OM_QUEUE_DEPTH_HIGH": str(high), "OM_QUEUE_DEPTH_LOW": str(low)}
    refusals = []
    with _working(vhost.amqp_url, rate=200), requests.Session() as http:
        edge = make_edge(vhost.amqp_url, rabbitmq.management_url, **watermarks)
        wait_until(lambda: queue.ready() > low - 100)
        # Publish extra events: on a slow machine, the worker takes many before the edge reads the depth.
        queue.flood(high + 1500)
        wait_until(lambda: edge.status("gate")["shedding"])
        while (answer := _post(http, edge, 0)).status_code == 429:
            refusals.append((time.monotonic(), int(answer.headers["Retry-After"])))
            assert len(refusals) < 200, "shedding does not end"
            time.sleep(0.25)
        ended = time.monotonic()
    # The first seconds do not count, because the edge is still measuring the rate. Retry-After has jitter,
    # and on a slow machine the worker, poller and probe can be seconds apart, so only its median is stable.
    settled = [(ended - at, seconds) for at, seconds in refusals if at - refusals[0][0] > 4.0]
    assert 0.6 <= median(seconds / remaining for remaining, seconds in settled if remaining > 2.0) <= 2.5
    assert median(seconds for remaining, seconds in settled if remaining <= 2.0) <= 6
