"""Events without a route are returned, hundreds at once, until the events queue is bound again."""

from urllib.parse import quote

import pika
import requests

from messaging.topology import EVENT_ROUTING_KEY, EVENTS_QUEUE, EXCHANGE, UNROUTED
from tests.services import declare_topology, leave_in_journal, post
from tests.waiting import wait_until

EDGE_NAME = "open-messaging edge"


def test_returned_events_arrive_later_over_one_connection(rabbitmq, vhost, tmp_path, make_edge, queue_of):
    declare_topology(vhost.amqp_url)
    _take_routes_away(vhost.amqp_url)
    bodies = [b'{"left":%d}' % number for number in range(400)]
    leave_in_journal(tmp_path, bodies)
    edge = make_edge(vhost.amqp_url, rabbitmq.management_url, wait_for_broker=False)
    # Wait before posting: a live event would be returned alone, before the first slice of the backlog.
    wait_until(lambda: edge.log.read_text().count("an event was returned") >= 3)
    # `omctl setup` binds the queue for unrouted events first: for a moment, the backlog would go there.
    _bind_events_queue(vhost.amqp_url)
    bodies += [b'{"live":%d}' % number for number in range(200)]
    assert {post(edge.url, body).status_code for body in bodies[-200:]} == {200}
    wait_until(lambda: edge.health()["journal_bytes"] == 0)
    wait_until(lambda: len(_edge_connections(rabbitmq, vhost)) == 1)
    arrived = {body for _, body in queue_of(vhost.amqp_url).take(100 * len(bodies), timeout=2.0)}
    assert arrived == set(bodies)


def _take_routes_away(amqp_url):
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        channel = connection.channel()
        channel.queue_unbind(EVENTS_QUEUE, EXCHANGE, EVENT_ROUTING_KEY)
        channel.queue_unbind(UNROUTED, UNROUTED, "")


def _bind_events_queue(amqp_url):
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        connection.channel().queue_bind(EVENTS_QUEUE, EXCHANGE, EVENT_ROUTING_KEY)


def _edge_connections(rabbitmq, vhost):
    url = f"{rabbitmq.management_url}/api/vhosts/{quote(vhost.name, safe='')}/connections"
    connections = requests.get(url, timeout=10).json()
    names = [each.get("client_properties", {}).get("connection_name", "") for each in connections]
    return [name for name in names if name.startswith(EDGE_NAME)]
