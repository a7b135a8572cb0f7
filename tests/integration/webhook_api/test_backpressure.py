"""A queue that grows too deep turns senders away until it has been drained."""

import time
from contextlib import ExitStack

import pytest

from tests.services import Edge, Service, declare_topology, leave_in_journal, post, running

SECONDS = 20.0


@pytest.fixture
def shedding_edge(rabbitmq, vhost, tmp_path):
    declare_topology(vhost.amqp_url)
    settings = {"OM_QUEUE_DEPTH_HIGH": "20", "OM_QUEUE_DEPTH_LOW": "10"}
    edge = Edge(Service(tmp_path, vhost.amqp_url, rabbitmq.management_url, settings))
    with running(edge):
        edge.start()
        _wait_for(edge, lambda gate: gate["queue_depth"] == 0)
        yield edge


def _wait_for(edge, condition):
    deadline = time.monotonic() + SECONDS
    while not condition(edge.health()["processes"][0]["gate"]):
        assert time.monotonic() < deadline, edge.health()
        time.sleep(0.1)


def test_requests_are_answered_429_with_retry_after_from_the_high_watermark_to_the_low_one(
    shedding_edge, vhost, queue_of
):
    answers = [post(shedding_edge.url, b'{"n":%d}' % number) for number in range(40)]

    accepted = [answer.status_code for answer in answers].count(200)
    assert 20 <= accepted < 40
    assert answers[-1].status_code == 429
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 30
    assert '"event": "shedding_started"' in shedding_edge.log.read_text()

    queue_of(vhost.amqp_url).take(40, timeout=1.0)
    _wait_for(shedding_edge, lambda gate: not gate["shedding"])
    assert post(shedding_edge.url, b"{}").status_code == 200


def journal_of(edge):
    return edge.health()["processes"][0]["journal"]


def test_a_backlog_waits_in_the_journal_while_the_queue_is_deep(vhost, tmp_path, queue_of):
    declare_topology(vhost.amqp_url)
    bodies = [b'{"n":%d}' % number for number in range(50)]
    settings = {"OM_QUEUE_DEPTH_HIGH": "40", "OM_QUEUE_DEPTH_LOW": "20"}
    leave_in_journal(tmp_path, bodies)

    edge = Edge(Service(tmp_path, vhost.amqp_url, settings=settings))
    queue = queue_of(vhost.amqp_url)
    with running(edge):
        edge.start()
        # The killed edge's orphan serves on for two seconds, and its directory is looked at every five.
        edge.wait_until(lambda: journal_of(edge)["republished"] > 0, timeout=30.0)
        time.sleep(2.0)
        assert journal_of(edge)["republished"] == 20
        assert journal_of(edge)["waiting_bytes"] > 0
        assert post(edge.url, b"{}").status_code == 200
        taken = [body for _, body in queue.take(51)]

    assert taken[:20] == bodies[:20]
    assert sorted(taken) == sorted([*bodies, b"{}"])


def test_an_edge_without_a_management_api_sheds_nothing(vhost, tmp_path):
    declare_topology(vhost.amqp_url)
    settings = {"OM_QUEUE_DEPTH_HIGH": "20", "OM_QUEUE_DEPTH_LOW": "10"}
    edge = Edge(Service(tmp_path, vhost.amqp_url, "http://guest:guest@127.0.0.1:9", settings))
    with running(edge):
        edge.start()

        assert {post(edge.url, b'{"n":%d}' % number).status_code for number in range(40)} == {200}


def test_a_management_address_that_does_not_answer_is_passed_over(rabbitmq, vhost, tmp_path):
    declare_topology(vhost.amqp_url)
    addresses = f"http://guest:guest@127.0.0.1:9,{rabbitmq.management_url}"
    edge = Edge(Service(tmp_path, vhost.amqp_url, addresses))
    with running(edge):
        edge.start()

        _wait_for(edge, lambda gate: gate["queue_depth"] == 0)


def test_with_broker_and_api_away_more_than_the_watermark_is_kept_and_nothing_refused(rabbitmq, tmp_path):
    settings = {"OM_QUEUE_DEPTH_HIGH": "20", "OM_QUEUE_DEPTH_LOW": "10"}
    broker = ExitStack()
    vhost = broker.enter_context(rabbitmq.make_vhost())
    declare_topology(vhost.amqp_url)
    edge = Edge(Service(tmp_path, vhost.amqp_url, rabbitmq.management_url, settings))
    with running(edge):
        edge.start()
        _wait_for(edge, lambda gate: gate["queue_depth"] == 0)
        broker.close()
        deadline = time.monotonic() + SECONDS
        while edge.health()["processes"][0]["journal"]["broker"] != "away":
            assert time.monotonic() < deadline
            time.sleep(0.1)

        assert edge.health()["processes"][0]["gate"]["queue_depth"] == 0, "the last depth is still believed"
        assert {post(edge.url, b'{"n":%d}' % number).status_code for number in range(60)} == {200}
