"""The publisher has one connection at a time and ignores callbacks of earlier connections."""

from types import SimpleNamespace

import pytest
from pika import spec
from pika.adapters.utils import connection_workflow

from messaging.broker import BrokerState, Publisher, publisher
from messaging.envelope import WEBHOOK, encode_properties
from tests.fakes.broker import BLOCKED, RETURN, FakeBroker, turn, turn_until

PROPERTIES = encode_properties("message-1", 1, "request-1", WEBHOOK)
SHORT_SECONDS = 0.02
UP, AWAY = BrokerState.UP, BrokerState.AWAY


@pytest.fixture
def broker(monkeypatch):
    broker = FakeBroker()
    monkeypatch.setattr(publisher, "BrokerConnection", broker.connect)
    monkeypatch.setattr(publisher, "delay_before", lambda _attempt: 0.0)
    return broker


@pytest.fixture
def changes():
    """The states to which the publisher has changed, in order."""
    return []


@pytest.fixture
def publishing(loop, broker, changes):
    """A publisher that is ready."""
    publishing = _started(loop, changes)
    turn_until(loop, lambda: publishing.state is UP)
    return publishing


def _started(loop, changes):
    publishing = Publisher(loop, ("amqp://127.0.0.1:9/",), client_name="test")
    publishing.start(lambda _before: changes.append(publishing.state))
    return publishing


def test_several_returned_events_end_the_connection_once(loop, broker, changes, publishing):
    broker.links[0].send(3 * RETURN)
    turn_until(loop, lambda: changes == [UP, AWAY, UP])
    turn(loop, 50)
    assert changes == [UP, AWAY, UP]
    assert broker.open_links() == broker.links[1:] == [broker.links[1]]


@pytest.mark.parametrize("late", [RETURN, BLOCKED], ids=["return", "alarm"])
def test_a_method_received_on_an_earlier_connection_is_ignored(loop, broker, changes, publishing, late):
    broker.unanswered.add(spec.Channel.Close)
    publishing.abort("test")
    turn_until(loop, lambda: changes == [UP, AWAY, UP])
    broker.links[0].send(late)
    turn(loop, 50)
    assert changes == [UP, AWAY, UP]
    publishing.publish([(PROPERTIES, b"body")])
    publishing.flush()
    assert broker.links[1].bodies == [b"body"]
    assert (publishing.last_tag, publishing.buffered_bytes) == (1, 0)


def test_an_alarm_before_the_channel_is_ready_applies_once_the_channel_is_ready(loop, broker, changes):
    broker.unanswered.add(spec.Queue.Declare)
    publishing = _started(loop, changes)
    turn(loop, 50)
    broker.links[0].send(BLOCKED)
    turn(loop, 50)
    assert changes == []
    broker.links[0].answer_at_last()
    turn(loop, 50)
    assert changes == [UP, BrokerState.BLOCKED]
    publishing.stop()


@pytest.mark.parametrize(
    "unanswered",
    [
        spec.Connection.StartOk,
        spec.Connection.Open,
        spec.Channel.Open,
        spec.Exchange.Declare,
        spec.Queue.Declare,
    ],
)
def test_a_connection_that_opens_too_slowly_is_replaced(loop, broker, changes, monkeypatch, unanswered):
    monkeypatch.setattr(publisher, "ATTEMPT_SECONDS", SHORT_SECONDS)
    broker.unanswered.add(unanswered)
    publishing = _started(loop, changes)
    turn_until(loop, lambda: len(broker.links) == 3)
    broker.unanswered.clear()
    turn_until(loop, lambda: publishing.state is UP)
    turn(loop, 50)
    assert changes == [UP]
    assert publishing.state is UP


@pytest.mark.parametrize("unanswered", [spec.Channel.Open, spec.Exchange.Declare, spec.Queue.Declare])
def test_an_answer_received_on_an_earlier_connection_is_ignored(
    loop, broker, changes, monkeypatch, unanswered
):
    failures = []
    loop.set_exception_handler(lambda _loop, context: failures.append(context))
    monkeypatch.setattr(publisher, "ATTEMPT_SECONDS", SHORT_SECONDS)
    broker.unanswered |= {unanswered, spec.Channel.Close}
    _started(loop, changes)
    turn_until(loop, lambda: len(broker.links) == 2)
    broker.unanswered = {spec.Connection.Open, spec.Channel.Close}
    broker.links[0].answer_at_last()
    turn(loop, 50)
    assert changes == []
    assert not failures


def test_a_stop_between_two_attempts_prevents_the_next_attempt(
    loop, broker, changes, publishing, monkeypatch
):
    monkeypatch.setattr(publisher, "delay_before", lambda _attempt: SHORT_SECONDS)
    publishing.abort("test")
    publishing.stop()
    loop.call_later(2 * SHORT_SECONDS, loop.stop)
    loop.run_forever()
    assert len(broker.links) == 1
    assert not broker.open_links()


def test_the_publisher_connects_again_after_an_error_that_pika_swallows(loop, changes, monkeypatch):
    attempts = []

    def out_of_descriptors(*_arguments):
        attempts.append(loop.time())
        raise OSError("too many open files")

    names = {
        name: getattr(connection_workflow.socket, name) for name in ("SOCK_STREAM", "IPPROTO_TCP", "timeout")
    }
    monkeypatch.setattr(connection_workflow, "socket", SimpleNamespace(socket=out_of_descriptors, **names))
    monkeypatch.setattr(publisher, "ATTEMPT_SECONDS", SHORT_SECONDS)
    monkeypatch.setattr(publisher, "delay_before", lambda _attempt: 0.0)
    loop.set_exception_handler(lambda *_: None)
    publishing = _started(loop, changes)
    turn_until(loop, lambda: len(attempts) == 3)
    publishing.stop()
    turn(loop, 50)
    assert len(attempts) == 3
