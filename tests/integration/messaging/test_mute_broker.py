"""Clients give up on an address that accepts connections but never answers, and try the next address."""

import socket
import threading

import pytest

from messaging.broker import BrokerState, Publisher, publisher
from messaging.consuming import consumer
from tests.integration.workers.consuming import Recorder
from tests.integration.workers.consuming import running as consuming
from tests.servers import LOOPBACK, free_port
from tests.services import declare_topology
from tests.waiting import wait_until

ATTEMPT_SECONDS = 1.0
PATIENCE_SECONDS = 9.0
"""The time within which a client must give up on an address: shorter than pika's own limit of 10 s."""


class Mute(threading.Thread):
    """Accepts one connection and reads everything that arrives, but never answers."""

    def __init__(self):
        super().__init__(daemon=True)
        self._listener = socket.create_server((LOOPBACK, free_port()))
        self.was_left = threading.Event()

    @property
    def url(self):
        return f"amqp://guest:guest@{LOOPBACK}:{self._listener.getsockname()[1]}/"

    def run(self):
        accepted, _ = self._listener.accept()
        with accepted, self._listener:
            while accepted.recv(1000):
                pass
        self.was_left.set()


@pytest.fixture
def mute():
    mute = Mute()
    mute.start()
    return mute


def test_a_publisher_tries_the_next_address_if_the_first_does_not_answer(loop, vhost, mute, monkeypatch):
    declare_topology(vhost.amqp_url)
    monkeypatch.setattr(publisher, "ATTEMPT_SECONDS", ATTEMPT_SECONDS)
    publishing = Publisher(loop, (mute.url, vhost.amqp_url), client_name="test")
    publishing.start(lambda _before: loop.stop())
    timer = loop.call_later(PATIENCE_SECONDS, loop.stop)
    loop.run_forever()
    assert publishing.state is BrokerState.UP
    assert publishing.node == 1
    assert mute.was_left.wait(PATIENCE_SECONDS)
    timer.cancel()
    publishing.stop()
    loop.call_later(0.2, loop.stop)
    loop.run_forever()


def test_a_consumer_tries_the_next_address_if_the_first_does_not_answer(vhost, mute, monkeypatch):
    declare_topology(vhost.amqp_url)
    monkeypatch.setattr(consumer, "ATTEMPT_SECONDS", ATTEMPT_SECONDS)
    with consuming(vhost.amqp_url, Recorder(), first=(mute.url,)) as running:
        words = "the consumer still waits for the mute address"
        wait_until(lambda: running._up_since is not None, PATIENCE_SECONDS, words)
        # pika abandons a handshake only after its own time limit.
        assert mute.was_left.wait(4 * PATIENCE_SECONDS)
    # On a busy machine, the first attempt at the real broker can also take too long.
    assert running._attempt >= 2
