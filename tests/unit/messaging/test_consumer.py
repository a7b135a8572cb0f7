"""A failed attempt to connect is followed by another attempt, even if pika does not report the failure."""

import pytest
from pika import spec

from messaging.consuming import Consumer, consumer, subscription
from messaging.process import ServiceManager
from tests.fakes.broker import ANSWERS, FakeBroker, turn, turn_until


@pytest.fixture
def broker(monkeypatch):
    broker = FakeBroker()
    monkeypatch.setattr(subscription, "BrokerConnection", broker.connect)
    monkeypatch.setattr(consumer, "delay_before", lambda _attempt: 0.0)
    monkeypatch.setattr(consumer, "ATTEMPT_SECONDS", 0.02)
    monkeypatch.setattr(consumer, "TICK_SECONDS", 0.005)
    return broker


class CountingManager(ServiceManager):
    """Counts how often a consumer has reported that it is ready."""

    readies = 0

    def ready(self):
        self.readies += 1


@pytest.fixture
def manager():
    return CountingManager()


@pytest.fixture
def consuming(manager):
    consuming = consumer_of(manager, "amqp://127.0.0.1:9/")
    yield consuming
    end(consuming)


def consumer_of(manager, *urls):
    return Consumer(
        urls,
        None,
        client_name="test",
        batch_events=10,
        batch_seconds=0.0,
        stop_seconds=5.0,
        service_manager=manager,
    )


def end(consuming):
    consuming.stop()
    consuming._loop.run_forever()
    consuming._loop.close()


@pytest.mark.parametrize(
    "unanswered", [spec.Connection.Open, spec.Channel.Open, spec.Basic.Qos, spec.Basic.Consume]
)
def test_a_connection_that_opens_too_slowly_is_replaced(broker, consuming, manager, unanswered):
    loop = consuming._loop
    broker.unanswered.add(unanswered)
    consuming._connect()
    consuming._tick()
    turn_until(loop, lambda: len(broker.links) == 3)
    broker.unanswered.clear()
    turn_until(loop, lambda: manager.readies == 1)
    links = len(broker.links)
    loop.call_later(0.1, loop.stop)
    loop.run_forever()
    assert (len(broker.links), manager.readies) == (links, 1)


@pytest.mark.parametrize("unanswered", [spec.Channel.Open, spec.Basic.Qos, spec.Basic.Consume])
def test_an_answer_after_the_end_of_an_attempt_is_ignored(broker, consuming, manager, unanswered):
    loop, failures = consuming._loop, []
    loop.set_exception_handler(lambda _loop, context: failures.append(context))
    broker.unanswered |= {unanswered, spec.Channel.Close}
    consuming._connect()
    consuming._tick()
    turn_until(loop, lambda: len(broker.links) == 2)
    broker.unanswered = {spec.Connection.Open, spec.Channel.Close}
    broker.links[0].answer_at_last()
    turn(loop, 20)
    assert manager.readies == 0
    assert not failures


@pytest.mark.parametrize(("ready", "received", "is_replaced"), [(7, 0, True), (0, 0, False), (7, 1, False)])
def test_a_connection_that_delivers_none_of_the_waiting_events_is_replaced(  # noqa: PLR0917  # fixtures
    broker, consuming, manager, monkeypatch, ready, received, is_replaced
):
    def answer(method):
        consuming._subscription.received += received
        return spec.Queue.DeclareOk(method.queue, ready, 1)

    monkeypatch.setattr(consumer, "PROBE_SECONDS", 0.02)
    monkeypatch.setitem(ANSWERS, spec.Queue.Declare, answer)
    consuming._connect()
    consuming._tick()
    turn_until(consuming._loop, lambda: manager.readies == (2 if is_replaced else 1))
    if not is_replaced:
        # This is long enough for several probes.
        consuming._loop.call_later(0.3, consuming._loop.stop)
        consuming._loop.run_forever()
        assert manager.readies == 1


def test_after_a_lost_connection_the_next_node_is_tried_first(broker, manager, monkeypatch):
    monkeypatch.setattr(consumer, "STABLE_SECONDS", 0.0)
    consuming = consumer_of(manager, "amqp://127.0.0.1:9/", "amqp://127.0.0.1:10/")
    consuming._connect()
    consuming._tick()
    for connections in (1, 2, 3):
        turn_until(consuming._loop, lambda expected=connections: manager.readies == expected)
        consuming._subscription.drop("a test")
    assert [link.port for link in broker.links[:3]] == [9, 10, 9]
    end(consuming)
