"""Events answered with 200 reach the broker even if it, its topology or management API was away at first."""

import signal
import time

import pytest
import requests

from tests.services import declare_topology, leave_in_journal, post
from tests.waiting import wait_until


def test_events_kept_without_a_broker_are_published_by_the_next_process(vhost, tmp_path, make_edge, queue_of):
    """Guarantee 1.1."""
    declare_topology(vhost.amqp_url)
    bodies = [b'{"n":%d}' % number for number in range(20)]
    leave_in_journal(tmp_path, bodies)
    edge = make_edge(vhost.amqp_url)
    assert [body for _, body in queue_of(vhost.amqp_url).take(20)] == bodies
    wait_until(lambda: edge.health()["journal_bytes"] == 0)


def test_the_journal_is_emptied_only_after_the_grace_period(vhost, make_edge):
    """Guarantee 2.2."""
    declare_topology(vhost.amqp_url)
    edge = make_edge(vhost.amqp_url)
    started = time.monotonic()
    post(edge.url, b"{}")
    assert edge.health()["journal_bytes"] > 0
    wait_until(lambda: edge.health()["journal_bytes"] == 0)
    assert time.monotonic() - started >= 5.0


def test_an_edge_serves_its_open_connections_after_sigterm_before_it_ends(vhost, make_edge, queue_of):
    declare_topology(vhost.amqp_url)
    edge = make_edge(vhost.amqp_url)
    with requests.Session() as http:
        http.get(edge.url)
        for number in range(10):
            post(edge.url, b'{"n":%d}' % number)
        edge.send(signal.SIGTERM)
        wait_until(lambda: http.get(edge.url).headers.get("Connection") == "close")
        wait_until(lambda: not edge.is_running)
    assert len(queue_of(vhost.amqp_url).take(10)) == 10


@pytest.mark.parametrize("changed", ["nothing", "OM_PUBLISHER_CONFIRMS", "OM_JOURNAL_FSYNC"])
def test_a_lone_broker_is_used_without_the_management_api(vhost, make_edge, queue_of, changed):
    declare_topology(vhost.amqp_url)
    settings = {"OM_QUEUE_DEPTH_HIGH": "5", "OM_QUEUE_DEPTH_LOW": "2"}
    if changed != "nothing":
        settings[changed] = "true"
    edge = make_edge(vhost.amqp_url, "http://guest:guest@127.0.0.1:9", **settings)
    assert {post(edge.url, b'{"n":%d}' % number).status_code for number in range(10)} == {200}
    assert len(queue_of(vhost.amqp_url).take(10)) == 10
    wait_until(lambda: edge.health()["journal_bytes"] == 0)


def test_an_edge_on_several_brokers_without_a_management_api_logs_a_warning(vhost, make_edge):
    edge = make_edge(f"{vhost.amqp_url},{vhost.amqp_url}", wait_for_broker=False)
    assert '"event": "majority_unwatched"' in edge.log.read_text()
