"""A missing confirm is reported in time, both during an alarm and without a majority.

A queue whose process is suspended confirms no message, although the broker's connections are healthy. These
tests suspend that process to simulate a queue without a majority.
"""

import time
from contextlib import contextmanager

import pytest

from messaging.admin import (
    DestinationDeadLetter,
    broker_session,
    dead_letters,
    event_publisher,
    lock_dead_letters,
    peek,
    publish_dead_letters,
    session,
)
from messaging.envelope import Envelope
from messaging.errors import BrokerUnavailableError
from messaging.topology import DEAD_LETTER_RECORDS, DEAD_LETTERS, EVENTS_QUEUE
from tests.chaos.faults.broker import ALARM_OFF, ALARM_ON
from tests.servers import PrivateRabbitMQ, require_rabbitmq
from tests.services import declare_topology
from tests.waiting import wait_until

# Without a time limit, a test would wait forever for a missing confirm.
pytestmark = pytest.mark.timeout(120)

SECONDS = 1.5
NOTICED_SECONDS = 10.0
"""Seconds within which a missing confirm must be reported, with a margin for a busy machine."""

ENVELOPE = Envelope("m-1", 1_700_000_000_000_000, "r-1", "webhook", b"{}")
DEAD_LETTER = DestinationDeadLetter(ENVELOPE, "crm", "constructed")


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    """A private broker, because an alarm affects all virtual hosts of a broker."""
    require_rabbitmq()
    with PrivateRabbitMQ(tmp_path_factory.mktemp("rabbitmq")) as node:
        declare_topology(node.amqp_url)
        yield node


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(dead_letters, "PUBLISH_SECONDS", SECONDS)
    monkeypatch.setattr(session, "CONFIRM_SECONDS", SECONDS)
    monkeypatch.setattr(session, "CLOSE_SECONDS", SECONDS)


@contextmanager
def an_alarm(node):
    node.evaluate(ALARM_ON["memory"])
    wait_until(lambda: node.evaluate("rabbit_alarm:get_alarms()") != "[]")
    try:
        yield
    finally:
        node.evaluate(ALARM_OFF["memory"])
        wait_until(lambda: node.evaluate("rabbit_alarm:get_alarms()") == "[]")


@contextmanager
def no_majority(node):
    leaders = [f"'%2F_{queue}'" for queue in (DEAD_LETTER_RECORDS, EVENTS_QUEUE)]
    for leader in leaders:
        node.evaluate(f"sys:suspend({leader})")
    try:
        yield
    finally:
        for leader in leaders:
            node.evaluate(f"sys:resume({leader})")


@contextmanager
def raised_in_time(error, match=None, *, after=0.0):
    began = time.monotonic()
    with pytest.raises(error, match=match):
        yield
    assert after <= time.monotonic() - began < SECONDS + NOTICED_SECONDS


def refused_in_time():
    return raised_in_time(BrokerUnavailableError, "confirmed nothing", after=SECONDS)


def interrupt_a_publish(connection):
    """Interrupt a publish before its confirm arrives, as a second Ctrl-C does."""
    connection.channel().basic_publish("", EVENTS_QUEUE, b"{}")
    raise KeyboardInterrupt


@pytest.mark.parametrize("strike", [an_alarm, no_majority])
def test_a_missing_confirm_is_reported_in_time_and_dead_letters_can_be_published_again(
    broker, strike, monkeypatch
):
    urls = (broker.amqp_url,)
    with strike(broker):
        with refused_in_time():
            list(publish_dead_letters(urls, [DEAD_LETTER]))
        with refused_in_time(), event_publisher(urls, client_name="test") as to_broker:
            to_broker.publish(ENVELOPE)
    # From now on, the broker confirms again, but a busy machine may take longer than SECONDS.
    monkeypatch.undo()
    assert list(publish_dead_letters(urls, [DEAD_LETTER])) == [DEAD_LETTER]
    with broker_session(urls, client_name="test") as connection:
        assert set(peek(connection, DEAD_LETTER_RECORDS)) == {ENVELOPE.body}


def test_a_replay_of_dead_letters_can_be_interrupted_during_an_alarm(broker):
    urls = (broker.amqp_url,)
    with broker_session(urls, client_name="test") as connection:
        connection.channel().basic_publish("", DEAD_LETTERS, b"{}")
    with (
        an_alarm(broker),
        raised_in_time(KeyboardInterrupt),
        lock_dead_letters(urls, client_name="test") as queue,
    ):
        assert len(next(queue.windows())) == 1
        interrupt_a_publish(queue._connection)


def test_a_frozen_broker_does_not_delay_closing_a_connection(broker):
    try:
        with raised_in_time(KeyboardInterrupt), broker_session((broker.amqp_url,), client_name="test"):
            broker.freeze()
            raise KeyboardInterrupt
    finally:
        broker.resume()


def test_a_connection_stays_open_while_its_confirms_arrive_in_time(broker, monkeypatch):
    monkeypatch.setattr(session, "CONFIRM_SECONDS", 5.0)
    with event_publisher((broker.amqp_url,), client_name="test") as to_broker:
        to_broker.publish(ENVELOPE)
        to_broker.idle(5.5)
        to_broker.publish(ENVELOPE)
