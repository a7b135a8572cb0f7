"""While the events queue has no majority, events answered with 200 wait in the journal, and none is lost.

Each outage of the three-node cluster affects an edge with publisher confirms and an edge without them. If
answered probes alone released events, as they do on a lone broker, all of these events would be lost.
"""

import time
from contextlib import ExitStack

import pytest

from tests import majority_loss
from tests.servers import require_rabbitmq
from tests.services import Edge, Service, post, running

pytestmark = pytest.mark.timeout(500)

OUTAGE_SECONDS = 8.0
"""The length of an outage. An edge that relied only on its probes would release every event in this time."""

EVENTS = 20


class Sender:
    """An edge, and the bodies of the requests that it has answered with 200."""

    def __init__(self, directory, nodes, *, confirms):
        addresses = (
            ",".join(node.amqp_url for node in nodes),
            ",".join(node.management_url for node in nodes),
        )
        self.confirms = confirms
        self._name = f"{directory.name}, confirms {confirms}"
        directory = directory / confirms
        directory.mkdir(parents=True)
        self.edge = Edge(Service(directory, *addresses, {"OM_PUBLISHER_CONFIRMS": confirms}))
        self.answered = set()

    def send(self):
        first = len(self.answered)
        bodies = {f'{{"{self._name}":{first + number}}}'.encode() for number in range(EVENTS)}
        assert {post(self.edge.url, body).status_code for body in bodies} == {200}
        self.answered |= bodies


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    require_rabbitmq()
    with majority_loss.running_cluster(tmp_path_factory.mktemp("cluster")) as started:
        yield started


@pytest.fixture
def senders_of(tmp_path):
    """Return a function that makes one sender without confirms and one with; both prefer the first node."""
    with ExitStack() as stack:

        def make(name, nodes, *, wait_for_broker=True):
            senders = [Sender(tmp_path / name, nodes, confirms=confirms) for confirms in ("false", "true")]
            for sender in senders:
                stack.enter_context(running(sender.edge))
                sender.edge.start(wait_for_broker=wait_for_broker)
            return senders

        yield make


def _answered(senders):
    return set().union(*(sender.answered for sender in senders))


def test_no_event_is_lost_on_a_new_or_an_open_channel_while_two_of_three_nodes_are_down(cluster, senders_of):
    """Guarantee 2.5."""
    survivor, *others = cluster.with_leader_first()
    senders = senders_of("open", [survivor, *others])
    for sender in senders:
        sender.send()
    with majority_loss.two_nodes_killed(cluster, survivor):
        senders += senders_of("fresh", [survivor, *others], wait_for_broker=False)
        for sender in senders:
            sender.send()
        time.sleep(OUTAGE_SECONDS)
        assert "up" not in [
            sender.edge.status("journal")["broker"] for sender in senders if sender.confirms == "false"
        ]
        assert all(sender.edge.status("journal")["bytes"] > 0 for sender in senders)
    assert cluster.lost(_answered(senders)) == set()


def test_an_event_that_only_the_killed_leader_had_is_not_lost(cluster, senders_of):
    senders = senders_of("frozen", cluster.with_leader_first())
    for sender in senders:
        # Once a channel has published, only the leader answers on that channel.
        sender.send()
    assert cluster.lost(_answered(senders)) == set()
    with majority_loss.followers_frozen_then_leader_killed(cluster):
        for sender in senders:
            sender.send()
        time.sleep(OUTAGE_SECONDS)
    assert cluster.lost(_answered(senders)) == set()


def test_an_edge_on_the_smaller_side_of_a_partition_changes_to_the_larger_side(cluster, senders_of):
    leader, cut_off, third = cluster.with_leader_first()
    senders = senders_of("partition", [cut_off, leader, third])
    for sender in senders:
        sender.send()
    with majority_loss.partition(cluster, cut_off):
        for sender in senders:
            sender.send()
        assert cluster.lost(_answered(senders[:1])) == set()
    assert cluster.lost(_answered(senders)) == set()
