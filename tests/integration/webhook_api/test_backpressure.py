"""Requests are refused while the queue is too deep."""

import time

import pytest

from tests.services import Edge, Service, declare_topology, post, running

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


def test_requests_are_answered_429_between_the_high_and_the_low_watermark(shedding_edge, vhost, queue_of):
    answers = [post(shedding_edge.url, b'{"n":%d}' % number) for number in range(40)]

    accepted = [answer.status_code for answer in answers].count(200)
    assert 20 <= accepted < 40
    assert answers[-1].status_code == 429
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 30
    assert '"event": "shedding_started"' in shedding_edge.log.read_text()

    queue_of(vhost.amqp_url).take(40, timeout=1.0)
    _wait_for(shedding_edge, lambda gate: not gate["shedding"])
    assert post(shedding_edge.url, b"{}").status_code == 200


def test_an_edge_without_a_management_api_refuses_no_request(vhost, tmp_path):
    declare_topology(vhost.amqp_url)
    settings = {"OM_QUEUE_DEPTH_HIGH": "20", "OM_QUEUE_DEPTH_LOW": "10"}
    edge = Edge(Service(tmp_path, vhost.amqp_url, "http://guest:guest@127.0.0.1:9", settings))
    with running(edge):
        edge.start()

        assert {post(edge.url, b'{"n":%d}' % number).status_code for number in range(40)} == {200}
