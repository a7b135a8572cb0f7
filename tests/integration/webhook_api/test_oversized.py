"""An event too large for the broker is saved as a file, and other events are published."""

import json

import pytest

from tests.servers import PrivateRabbitMQ, require_rabbitmq
from tests.services import declare_topology, post
from tests.waiting import wait_until

LIMIT = 20_000


@pytest.fixture(scope="module")
def narrow_broker(tmp_path_factory):
    require_rabbitmq()
    directory = tmp_path_factory.mktemp("rabbitmq")
    with PrivateRabbitMQ(directory, configuration=f"max_message_size = {LIMIT}\n") as node:
        yield node


@pytest.fixture(params=["false", "true"], ids=["probes", "confirms"])
def edge(narrow_broker, request, make_edge):
    declare_topology(narrow_broker.amqp_url)
    return make_edge(
        narrow_broker.amqp_url, narrow_broker.management_url, OM_PUBLISHER_CONFIRMS=request.param
    )


def test_an_oversized_event_is_saved_and_other_events_arrive(narrow_broker, edge, tmp_path, queue_of):
    neighbours = [b'{"n":%d}' % number for number in range(20)]
    oversized = [b'{"large":"%s"}' % (bytes([content]) * LIMIT) for content in b"ab"]
    for number, body in enumerate(neighbours):
        assert post(edge.url, body).status_code == 200
        if number == 10:
            assert post(edge.url, oversized[0]).status_code == 200
    wait_until(lambda: edge.status("journal")["oversized"] == 1)
    assert post(edge.url, oversized[1]).status_code == 200
    wait_until(lambda: edge.status("journal")["oversized"] == 2)
    wait_until(lambda: edge.health()["journal_bytes"] == 0)
    queue = queue_of(narrow_broker.amqp_url)
    arrived = [body for _, body in queue.take(3 * len(neighbours), timeout=2.0)]
    assert set(arrived) == set(neighbours)
    assert max(arrived.count(body) for body in neighbours) <= 2
    kept = tmp_path / "state" / "oversized"
    assert sorted(path.read_bytes() for path in kept.glob("*.body")) == oversized
    reasons = [json.loads(path.read_text()) for path in kept.glob("*.json")]
    assert {(reason["body_bytes"], reason["max_message_size"]) for reason in reasons} == {
        (len(oversized[0]), LIMIT)
    }
    assert edge.log.read_text().count('"event": "event_oversized"') == 2
    assert "oversized" in " ".join(edge.health()["problems"])


def test_an_event_as_large_as_the_limit_is_published(narrow_broker, edge, queue_of):
    assert post(edge.url, b"x" * LIMIT).status_code == 200
    assert len(queue_of(narrow_broker.amqp_url).take(1)) == 1
