"""Requests are refused while the queue is too deep."""

from contextlib import ExitStack

from tests.services import declare_topology, post
from tests.waiting import wait_until

WATERMARKS = {"OM_QUEUE_DEPTH_HIGH": "20", "OM_QUEUE_DEPTH_LOW": "10"}


def test_the_edge_answers_429_until_the_low_watermark_is_reached(rabbitmq, vhost, make_edge, queue_of):
    """Guarantee 5.1."""
    declare_topology(vhost.amqp_url)
    # The first address does not answer and is skipped.
    addresses = f"http://guest:guest@127.0.0.1:9,{rabbitmq.management_url}"
    edge = make_edge(vhost.amqp_url, addresses, **WATERMARKS)
    wait_until(lambda: edge.status("gate")["queue_depth"] == 0)
    answers = [post(edge.url, b'{"n":%d}' % number) for number in range(40)]
    accepted = [answer.status_code for answer in answers].count(200)
    assert 20 <= accepted < 40
    assert answers[-1].status_code == 429
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 30
    assert '"event": "shedding_started"' in edge.log.read_text()
    queue_of(vhost.amqp_url).take(40, timeout=1.0)
    wait_until(lambda: not edge.status("gate")["shedding"])
    assert post(edge.url, b"{}").status_code == 200


def test_more_events_than_the_high_watermark_are_accepted_while_the_broker_is_away(rabbitmq, make_edge):
    broker = ExitStack()
    vhost = broker.enter_context(rabbitmq.make_vhost())
    declare_topology(vhost.amqp_url)
    edge = make_edge(vhost.amqp_url, rabbitmq.management_url, **WATERMARKS)
    wait_until(lambda: edge.status("gate")["queue_depth"] == 0)
    broker.close()
    wait_until(lambda: edge.status("journal")["broker"] == "away")
    assert edge.status("gate")["queue_depth"] == 0, "the edge still uses the last depth"
    assert {post(edge.url, b'{"n":%d}' % number).status_code for number in range(60)} == {200}
