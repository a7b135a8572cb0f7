"""A host's broker leaves its cluster, as during `omctl uninstall --purge`, and no event is lost.

The test starts three brokers and takes most of a minute, so only `make test-nightly` runs it.
"""

import json
import os
import time

import pika
import pytest

from messaging.topology import EVENTS_QUEUE
from omctl.installing import cluster
from tests.majority_loss import NODES, running_cluster
from tests.servers import require_rabbitmq

pytestmark = pytest.mark.skipif(
    os.environ.get("HYPOTHESIS_PROFILE") != "nightly", reason="starts three brokers: make test-nightly"
)

INTEGRATORS = "crm.errors"
"""A queue name that contains "error", which must not count as a failure of `rabbitmq-queues shrink`."""
BODIES = [b"one", b"two", b"three"]


def publish(url):
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.confirm_delivery()
    channel.queue_declare(INTEGRATORS, durable=True, arguments={"x-queue-type": "quorum"})
    for body in BODIES:
        channel.basic_publish("", EVENTS_QUEUE, body, pika.BasicProperties(delivery_mode=2))
    connection.close()


def test_the_leader_of_the_queue_leaves_the_cluster_and_no_waiting_event_is_lost(tmp_path, monkeypatch):
    require_rabbitmq()
    with running_cluster(tmp_path) as brokers:
        leaving, *others = brokers.with_leader_first()
        monkeypatch.setattr(
            cluster,
            "run",
            lambda line: leaving.ctl(*line.split()[2:], program=line.split()[0], timeout=120.0),
        )
        monkeypatch.setattr(cluster, "succeeds", lambda _: True)
        monkeypatch.setattr(cluster, "STORED_COOKIE", tmp_path / "cookie")
        publish(leaving.amqp_url)
        assert set(cluster.other_members(leaving.node)) == {node.node for node in others}
        cluster.leave(leaving.node)
        assert cluster.other_members(leaving.node) == []
        assert EVENTS_QUEUE not in leaving.ctl("list_queues", "name")
        deadline = time.monotonic() + 60.0
        while not (report := brokers.report(others[0])).get("leader") and time.monotonic() < deadline:
            time.sleep(0.5)
        assert set(report["members"]) == {node.node for node in others}
        nodes = json.loads(others[0].ctl("cluster_status", "--formatter", "json"))["disk_nodes"]
        assert len(nodes) == NODES - 1
        assert brokers.lost(set(BODIES)) == set()
