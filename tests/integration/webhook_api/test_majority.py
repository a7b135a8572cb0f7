"""While the events queue has no majority, what is answered 200 waits in the journal, and none of it is lost.

One cluster of three nodes serves the file, and each outage strikes edges with publisher confirms off and on
at once. With what an answered probe proves on a lone broker, all of these events are lost.
"""

import time
from contextlib import ExitStack

import pytest

from tests import majority_loss
from tests.servers import require_rabbitmq
from tests.services import Edge, Service, post, running

pytestmark = pytest.mark.timeout(500)

OUTAGE_SECONDS = 8.0
"""Long enough for an edge that believes its probes alone to let go of everything."""

EVENTS = 20


class Sender:
    """One edge, and what it has answered 200."""

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

    @property
    def journal(self):
        return self.edge.health()["processes"][0]["journal"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    require_rabbitmq()
    with majority_loss.running_cluster(tmp_path_factory.mktemp("cluster")) as started:
        yield started


@pytest.fixture
def senders_of(tmp_path):
    """Make two senders, without confirms and with them, that prefer the nodes in the order given."""
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


def test_with_two_of_three_nodes_killed_nothing_is_lost_on_a_fresh_channel_nor_on_an_open_one(
    cluster, senders_of
):
    survivor, *others = cluster.with_leader_first()
    senders = senders_of("open", [survivor, *others])
    for sender in senders:
        sender.send()
    with majority_loss.two_nodes_killed(cluster, survivor):
        senders += senders_of("fresh", [survivor, *others], wait_for_broker=False)
        for sender in senders:
            sender.send()
        time.sleep(OUTAGE_SECONDS)
        assert "up" not in [sender.journal["broker"] for sender in senders if sender.confirms == "false"]
        assert all(sender.journal["bytes"] > 0 for sender in senders)

    assert cluster.lost(_answered(senders)) == set()


def test_what_only_the_leader_had_is_not_lost_with_it(cluster, senders_of):
    senders = senders_of("frozen", cluster.with_leader_first())
    for sender in senders:
        # A channel that has published before has its answers from the leader alone.
        sender.send()
    assert cluster.lost(_answered(senders)) == set()
    with majority_loss.followers_frozen_then_leader_killed(cluster):
        for sender in senders:
            sender.send()
        time.sleep(OUTAGE_SECONDS)

    assert cluster.lost(_answered(senders)) == set()


def test_an_edge_on_the_smaller_side_of_a_partition_goes_over_to_the_larger_one(cluster, senders_of):
    leader, cut_off, third = cluster.with_leader_first()
    senders = senders_of("partition", [cut_off, leader, third])
    for sender in senders:
        sender.send()
    with majority_loss.partition(cluster, cut_off):
        for sender in senders:
            sender.send()

        assert cluster.lost(_answered(senders[:1])) == set()
    assert cluster.lost(_answered(senders)) == set()
