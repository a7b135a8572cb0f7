"""Make the events queue lose its majority in each way that causes RabbitMQ to lose events.

Without publisher confirms, RabbitMQ does not report the loss. It drops events published on a new channel,
because their enqueuer cannot register, and on an open channel after 190 s without a majority. Events that
only the leader has are lost with the leader. Each context manager begins an outage and ends it.
"""

from contextlib import contextmanager

import pika
import requests

from deploy.local.process import ServerStartError
from messaging.topology import EVENTS_QUEUE
from tests.servers import PrivateRabbitMQ
from tests.services import declare_topology
from tests.waiting import wait_until

NODES = 3
SETTLE_SECONDS = 60.0
QUEUE_PATH = f"/api/queues/%2F/{EVENTS_QUEUE}?disable_stats=true&enable_queue_totals=true"


class Cluster:
    """Three private nodes with the topology on all of them."""

    def __init__(self, directory):
        first = PrivateRabbitMQ(directory / "node-1", name="node-1")
        self.nodes = [first] + [
            PrivateRabbitMQ(directory / f"node-{number}", name=f"node-{number}", peer=first)
            for number in range(2, NODES + 1)
        ]
        self._seen = set()

    def start(self):
        start_all(self.nodes)
        for node in self.nodes[1:]:
            node.join_cluster(self.nodes[0])
        declare_topology(self.nodes[0].amqp_url)
        self.wait_complete()

    def stop(self):
        # Stop the first node last, because it started the port mapper that all nodes use.
        for node in reversed(self.nodes):
            node.kill()
            node.stop()

    def report(self, node):
        """Return *node*'s report on the events queue, or an empty report if the node does not answer."""
        try:
            return requests.get(node.management_url + QUEUE_PATH, timeout=3).json()
        except (requests.RequestException, ValueError):
            return {}

    def with_leader_first(self):
        name = wait_until(lambda: self.report(self.nodes[0]).get("leader"), SETTLE_SECONDS)
        return sorted(self.nodes, key=lambda node: node.node != name)

    def wait_complete(self):
        """Block until each node sees every copy of the events queue."""
        wait_until(
            lambda: all(len(self.report(node).get("online", [])) == NODES for node in self.nodes),
            SETTLE_SECONDS,
        )

    def lost(self, answered):
        """Consume the events queue, and return the bodies in *answered* that were never delivered."""
        # A node that is cut off still names a leader, but delivers nothing.
        node = wait_until(
            lambda: next(
                (node for node in self.nodes if len(self.report(node).get("online", [])) > NODES // 2), None
            ),
            SETTLE_SECONDS,
        )
        connection = pika.BlockingConnection(pika.URLParameters(node.amqp_url))
        channel = connection.channel()
        consumer = channel.consume(EVENTS_QUEUE, inactivity_timeout=SETTLE_SECONDS)
        while not answered <= self._seen:
            method, _properties, body = next(consumer)
            if method is None:
                break
            channel.basic_ack(method.delivery_tag)
            self._seen.add(body)
        connection.close()
        return answered - self._seen


@contextmanager
def running_cluster(directory):
    cluster = Cluster(directory)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def start_all(nodes):
    for node in nodes:
        node.launch()
    for node in nodes:
        try:
            node.wait_ready()
        except ServerStartError:
            # Of two nodes that start at the same moment, one can end. Restart it, as systemd would.
            node.kill()
            node.start()


@contextmanager
def two_nodes_killed(cluster, survivor):
    """Kill all nodes but *survivor*.

    RabbitMQ drops events published to the survivor on a new channel, and after 190 s also on an open channel.
    """
    others = [node for node in cluster.nodes if node is not survivor]
    for node in others:
        node.kill()
    yield
    start_all(others)
    cluster.wait_complete()


@contextmanager
def followers_frozen_then_leader_killed(cluster):
    """Freeze both followers; at the end, kill the leader, so that events that only it has are lost."""
    leader, *followers = cluster.with_leader_first()
    for node in followers:
        node.freeze()
    yield
    leader.kill()
    for node in followers:
        node.resume()
    leader.start()
    cluster.wait_complete()


@contextmanager
def partition(cluster, cut_off):
    """Separate one node from the other two with a wrong cookie; clients still reach all three nodes."""
    others = [node for node in cluster.nodes if node is not cut_off]
    for node in others:
        for one, two in ((node, cut_off), (cut_off, node)):
            one.evaluate(f"erlang:set_cookie('{two.node}', wrong), erlang:disconnect_node('{two.node}')")
    yield
    for node in others:
        node.evaluate(f"erlang:set_cookie('{cut_off.node}', erlang:get_cookie())")
    cut_off.kill()
    cut_off.start()
    cluster.wait_complete()
