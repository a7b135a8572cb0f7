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
    await_alarms(node, is_on=True)
    try:
        yield
    finally:
        node.evaluate(ALARM_OFF["memory"])
        await_alarms(node, is_on=False)


def await_alarms(node, *, is_on):
    deadline = time.monotonic() + 30.0
    while (node.evaluate("rabbit_alarm:get_alarms()") != "[]") != is_on:
        assert time.monotonic() < deadline
        time.sleep(0.1)


@contextmanager
def no_majority(node):
    for queue in (DEAD_LETTER_RECORDS, EVENTS_QUEUE):
        node.evaluate(system_call(queue, "suspend"))
    try:
        yield
    finally:
        for queue in (DEAD_LETTER_RECORDS, EVENTS_QUEUE):
            node.evaluate(system_call(queue, "resume"))


def system_call(queue, verb):
    found = f'rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, <<"{queue}">>))'
    return f"{{ok, Queue}} = {found}, {{Name, _}} = amqqueue:get_pid(Queue), sys:{verb}(Name)"


@contextmanager
def refused_in_time():
    began = time.monotonic()
    with pytest.raises(BrokerUnavailableError, match="confirmed nothing"):
        yield
    assert SECONDS <= time.monotonic() - began < SECONDS + NOTICED_SECONDS


@contextmanager
def interrupted_in_time():
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        yield
    assert time.monotonic() - began < SECONDS + NOTICED_SECONDS


def interrupt_a_publish(connection):
    """Interrupt a publish before its confirm arrives, as a second Ctrl-C does."""
    connection.channel().basic_publish("", EVENTS_QUEUE, b"{}")
    raise KeyboardInterrupt


@pytest.mark.parametrize("strike", [an_alarm, no_majority])
def test_unconfirmed_dead_letters_can_be_published_again(broker, strike):
    with strike(broker), refused_in_time():
        list(publish_dead_letters((broker.amqp_url,), [DEAD_LETTER]))
    assert list(publish_dead_letters((broker.amqp_url,), [DEAD_LETTER])) == [DEAD_LETTER]
    with broker_session((broker.amqp_url,), client_name="test") as connection:
        assert set(peek(connection, DEAD_LETTER_RECORDS)) == {ENVELOPE.body}


@pytest.mark.parametrize("strike", [an_alarm, no_majority])
def test_publishing_an_event_fails_in_time_if_its_confirm_is_missing(broker, strike):
    with (
        strike(broker),
        refused_in_time(),
        event_publisher((broker.amqp_url,), client_name="test") as to_broker,
    ):
        to_broker.publish(ENVELOPE)


def test_a_replay_of_dead_letters_can_be_interrupted_during_an_alarm(broker):
    urls = (broker.amqp_url,)
    with broker_session(urls, client_name="test") as connection:
        connection.channel().basic_publish("", DEAD_LETTERS, b"{}")
    with (
        an_alarm(broker),
        interrupted_in_time(),
        lock_dead_letters(urls, client_name="test") as queue,
    ):
        assert len(next(queue.windows())) == 1
        interrupt_a_publish(queue._connection)


def test_a_frozen_broker_does_not_delay_closing_a_connection(broker):
    try:
        with interrupted_in_time(), broker_session((broker.amqp_url,), client_name="test"):
            broker.freeze()
            raise KeyboardInterrupt
    finally:
        broker.resume()


def test_a_connection_stays_open_while_its_confirms_arrive_in_time(broker):
    with event_publisher((broker.amqp_url,), client_name="test") as to_broker:
        for _ in range(2):
            to_broker.publish(ENVELOPE)
            to_broker.idle(SECONDS + 0.5)
