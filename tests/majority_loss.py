"""Take the events queue's majority away from under an edge, in each form in which RabbitMQ then loses events.

Without publisher confirms RabbitMQ says nothing of it: a fresh channel's publishes are dropped because their
enqueuer cannot register, those of an old channel are lost when it is kept open long enough, and what only a
leader has taken dies with it. Each form strikes, heals, and leaves the rest to the caller.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pika
import requests

from messaging.topology import EVENTS_QUEUE
from tests.servers import PrivateRabbitMQ
from tests.services import declare_topology
from tests.waiting import wait_until

NODES = 3
SETTLE_SECONDS = 60.0
QUEUE_PATH = f"/api/queues/%2F/{EVENTS_QUEUE}?disable_stats=true&enable_queue_totals=true"


class Cluster:
    """Three private nodes with the topology on all of them.

    Args:
        directory: Created where missing; nothing is written outside it.
    """

    def __init__(self, directory: Path) -> None:
        first = PrivateRabbitMQ(directory / "node-1", name="node-1")
        self.nodes = [first] + [
            PrivateRabbitMQ(directory / f"node-{number}", name=f"node-{number}", peer=first)
            for number in range(2, NODES + 1)
        ]
        self._seen: set[bytes] = set()

    def start(self) -> None:
        """Start the nodes side by side, make one cluster of them, declare."""
        start_all(self.nodes)
        for node in self.nodes[1:]:
            node.join_cluster(self.nodes[0])
        declare_topology(self.nodes[0].amqp_url)
        self.wait_complete()

    def stop(self) -> None:
        """End every node, the first one last: the port mapper is its."""
        for node in reversed(self.nodes):
            node.kill()
            node.stop()

    def report(self, node: PrivateRabbitMQ) -> dict:
        """Return what *node* says of the events queue, nothing where it does not answer."""
        try:
            return requests.get(node.management_url + QUEUE_PATH, timeout=3).json()
        except (requests.RequestException, ValueError):
            return {}

    def leader(self) -> PrivateRabbitMQ:
        """Return the node that leads the events queue."""
        name = self.report(self.nodes[0])["leader"]
        return next(node for node in self.nodes if node.node == name)

    def with_leader_first(self) -> list[PrivateRabbitMQ]:
        """Return the nodes, the events queue's leader first."""
        leader = self.leader()
        return [leader, *(node for node in self.nodes if node is not leader)]

    def wait_complete(self) -> None:
        """Block until each node sees every copy of the events queue."""
        wait_until(
            lambda: all(len(self.report(node).get("online", [])) == NODES for node in self.nodes),
            SETTLE_SECONDS,
        )

    def lost(self, answered: set[bytes], seconds: float = SETTLE_SECONDS) -> set[bytes]:
        """Return what of *answered* has not come out of the events queue yet, now or at an earlier call.

        Waits until all of it came, or nothing for *seconds*.
        """
        node = next(node for node in self.nodes if self.report(node).get("leader"))
        connection = pika.BlockingConnection(pika.URLParameters(node.amqp_url))
        channel = connection.channel()
        consumer = channel.consume(EVENTS_QUEUE, inactivity_timeout=seconds)
        while not answered <= self._seen:
            method, _properties, body = next(consumer)
            if method is None:
                break
            channel.basic_ack(method.delivery_tag)
            self._seen.add(body)
        connection.close()
        return answered - self._seen


@contextmanager
def running_cluster(directory: Path) -> Iterator[Cluster]:
    """Start a cluster, and end its nodes afterwards."""
    cluster = Cluster(directory)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def start_all(nodes: list[PrivateRabbitMQ]) -> None:
    """Start nodes side by side; returns when all of them answer."""
    for node in nodes:
        node.launch()
    for node in nodes:
        node.wait_ready()


@contextmanager
def two_nodes_killed(cluster: Cluster, survivor: PrivateRabbitMQ) -> Iterator[None]:
    """Kill all but *survivor*; bring them back afterwards.

    RabbitMQ drops what is published to the survivor on a fresh channel meanwhile, and after 190 s and more
    also what was published on one that was open before and is kept open.
    """
    others = [node for node in cluster.nodes if node is not survivor]
    for node in others:
        node.kill()
    yield
    start_all(others)
    cluster.wait_complete()


@contextmanager
def followers_frozen_then_leader_killed(cluster: Cluster) -> Iterator[None]:
    """Freeze both followers; afterwards kill the leader, let the followers go on, bring the leader back.

    What only the leader has taken meanwhile is gone.
    """
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
def partition(cluster: Cluster, cut_off: PrivateRabbitMQ) -> Iterator[None]:
    """Cut one node off from the two others, every client still reaching all three; restart it afterwards.

    The nodes refuse each other by a wrong cookie, since all of them share one network.
    """
    others = [node for node in cluster.nodes if node is not cut_off]
    for other in others:
        _refuse(other, cut_off)
        _refuse(cut_off, other)
    yield
    for other in others:
        other.evaluate(f"erlang:set_cookie('{cut_off.node}', erlang:get_cookie())")
    cut_off.kill()
    cut_off.start()
    cluster.wait_complete()


def _refuse(node: PrivateRabbitMQ, other: PrivateRabbitMQ) -> None:
    node.evaluate(f"erlang:set_cookie('{other.node}', wrong), erlang:disconnect_node('{other.node}')")
