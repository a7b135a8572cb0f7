"""What was answered 200 reaches the broker, whatever is missing at the time."""

import signal
import time

import pytest
import requests

from tests.services import Edge, Service, declare_topology, leave_in_journal, post, running
from tests.waiting import wait_until

SECONDS = 20.0
GONE_API = "http://guest:guest@127.0.0.1:9"


def test_without_a_broker_events_are_kept_and_the_next_process_hands_them_over(vhost, tmp_path, queue_of):
    declare_topology(vhost.amqp_url)
    bodies = [b'{"n":%d}' % number for number in range(20)]
    leave_in_journal(tmp_path, bodies)

    edge = Edge(Service(tmp_path, vhost.amqp_url))
    with running(edge):
        edge.start()

        assert [body for _, body in queue_of(vhost.amqp_url).take(20)] == bodies
        wait_until(lambda: edge.health()["journal_bytes"] == 0)


def test_events_wait_for_a_topology_that_is_declared_late(vhost, tmp_path, queue_of):
    edge = Edge(Service(tmp_path, vhost.amqp_url))
    with running(edge):
        edge.start(wait_for_broker=False)
        assert post(edge.url, b"{}").status_code == 200

        declare_topology(vhost.amqp_url)

        assert len(queue_of(vhost.amqp_url).take(1)) == 1


def test_the_journal_empties_only_after_the_grace_period(vhost, tmp_path):
    declare_topology(vhost.amqp_url)
    edge = Edge(Service(tmp_path, vhost.amqp_url))
    with running(edge):
        edge.start()
        started = time.monotonic()
        post(edge.url, b"{}")
        assert edge.health()["journal_bytes"] > 0

        wait_until(lambda: edge.health()["journal_bytes"] == 0)

        assert time.monotonic() - started >= 5.0


def test_sigterm_answers_what_has_begun_and_ends(vhost, tmp_path, queue_of):
    declare_topology(vhost.amqp_url)
    edge = Edge(Service(tmp_path, vhost.amqp_url))
    with running(edge), requests.Session() as http:
        edge.start()
        http.get(edge.url)
        for number in range(10):
            post(edge.url, b'{"n":%d}' % number)
        edge.send(signal.SIGTERM)
        time.sleep(0.5)
        # The connection was idle when the signal came; a request on it is still served, then it closes.
        assert http.get(edge.url).headers["Connection"] == "close"
        wait_until(lambda: not edge.is_running)

    assert len(queue_of(vhost.amqp_url).take(10)) == 10


@pytest.mark.parametrize("changed", ["nothing", "OM_PUBLISHER_CONFIRMS", "OM_JOURNAL_FSYNC"])
def test_a_lone_broker_is_believed_with_the_management_api_away(vhost, tmp_path, queue_of, changed):
    declare_topology(vhost.amqp_url)
    settings = {} if changed == "nothing" else {changed: "true"}
    edge = Edge(Service(tmp_path, vhost.amqp_url, GONE_API, settings))
    with running(edge):
        edge.start()
        assert {post(edge.url, b'{"n":%d}' % number).status_code for number in range(10)} == {200}

        assert len(queue_of(vhost.amqp_url).take(10)) == 10
        wait_until(lambda: edge.health()["journal_bytes"] == 0)


def test_several_addresses_are_taken_for_a_cluster_until_the_management_api_tells_otherwise(
    rabbitmq, vhost, tmp_path, queue_of
):
    declare_topology(vhost.amqp_url)
    addresses = f"{vhost.amqp_url},{vhost.amqp_url}"
    edge = Edge(Service(tmp_path, addresses, GONE_API))
    with running(edge):
        edge.start(wait_for_broker=False)
        assert post(edge.url, b"{}").status_code == 200
        wait_until(lambda: edge.health()["processes"][0]["journal"]["broker"] == "no_majority")
        assert queue_of(vhost.amqp_url).is_empty()

    for api in (rabbitmq.management_url, GONE_API):
        edge = Edge(Service(tmp_path, addresses, api))
        with running(edge):
            edge.start()
            post(edge.url, b"{}")
            assert len(queue_of(vhost.amqp_url).take(1)) == 1


def test_an_edge_on_several_brokers_without_a_management_api_warns(vhost, tmp_path):
    edge = Edge(Service(tmp_path, f"{vhost.amqp_url},{vhost.amqp_url}"))
    with running(edge):
        edge.start(wait_for_broker=False)

    assert '"event": "majority_unwatched"' in edge.log.read_text()
