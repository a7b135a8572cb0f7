"""The consumer settles deliveries from a real broker; unsettled deliveries are delivered again."""

import threading
import time

import pika
import pytest

from messaging import topology
from messaging.admin import set_up
from messaging.consuming import Settlement, consumer
from messaging.consuming.subscription import QUEUES
from messaging.errors import RetryLaterError
from tests.integration.workers.consuming import Recorder, depth, rejecting, running
from tests.services import declare_topology
from tests.waiting import wait_until

PATIENCE_SECONDS = 20.0


@pytest.fixture
def broker(vhost):
    """Open a channel for this test, with the topology declared."""
    declare_topology(vhost.amqp_url)
    connection = pika.BlockingConnection(pika.URLParameters(vhost.amqp_url))
    channel = connection.channel()
    yield channel
    connection.close()


@pytest.fixture
def recorder():
    return Recorder()


def publish(channel, *bodies, exchange=topology.EXCHANGE, routing_key=topology.EVENT_ROUTING_KEY):
    for body in bodies:
        channel.basic_publish(exchange, routing_key, body, pika.BasicProperties(message_id=body.decode()))


def numbered(count):
    return [f"event-{number}".encode() for number in range(count)]


def test_processed_deliveries_are_not_delivered_again(vhost, broker, recorder, held):
    started, finish = held
    publish(broker, *numbered(25))
    with running(vhost.amqp_url, recorder) as consumer:
        assert started.wait(PATIENCE_SECONDS)
        # The first batch contains what the first read returned. The next ten events form a full batch.
        wait_until(lambda: consumer._subscription.received == 25)
        finish.set()
        wait_until(lambda: len(recorder.deliveries) == 25)
    assert recorder.bodies() == numbered(25)
    assert max(len(batch) for batch in recorder.batches) == 10
    with running(vhost.amqp_url, recorder):
        time.sleep(0.5)
    assert len(recorder.deliveries) == 25


def test_bodies_of_all_sizes_are_delivered_in_order(vhost, broker, recorder):
    sizes = [1, 0, 70_000, 300_000, 550, 131_072, 2]
    bodies = [bytes([65 + number]) * size for number, size in enumerate(sizes)]
    properties = pika.BasicProperties(message_id="m", headers={"received-at-us": 2**50, "request-id": "r"})
    for body in bodies:
        broker.basic_publish(topology.EXCHANGE, topology.EVENT_ROUTING_KEY, body, properties)
    with running(vhost.amqp_url, recorder):
        wait_until(lambda: len(recorder.deliveries) == len(sizes))
    assert recorder.bodies() == bodies
    assert {each.envelope.received_at_us for each in recorder.deliveries} == {2**50}


@pytest.fixture
def held(recorder):
    """Make the recorder hold each batch until `finish` is set, and set `started` when it holds one."""
    started, finish = threading.Event(), threading.Event()

    def hold(_batch):
        started.set()
        assert finish.wait(PATIENCE_SECONDS)

    recorder.on_batch = hold
    return started, finish


def test_a_delivery_is_not_acknowledged_before_it_is_processed(vhost, broker, recorder, held):
    """Guarantee 2.6."""
    started, finish = held
    publish(broker, *numbered(1))
    with running(vhost.amqp_url, recorder, stop_seconds=0.0):
        assert started.wait(PATIENCE_SECONDS)
    finish.set()
    wait_until(lambda: depth(broker) == 1)


def test_a_single_event_is_processed_at_once_and_later_events_form_one_batch(vhost, broker, recorder, held):
    started, finish = held
    with running(vhost.amqp_url, recorder, batch_seconds=2 * PATIENCE_SECONDS) as consumer:
        publish(broker, b"alone")
        assert started.wait(PATIENCE_SECONDS)
        publish(broker, *numbered(7))
        wait_until(lambda: consumer._subscription.received == 8)
        finish.set()
        wait_until(lambda: len(recorder.deliveries) == 8)
    assert [len(batch) for batch in recorder.batches] == [1, 7]


def test_an_event_after_a_half_full_batch_waits_for_more_events(vhost, broker, recorder):
    with running(vhost.amqp_url, recorder, batch_seconds=3.0) as consumer:
        # A single read can return only some of the events that the broker sent, so a batch can be small.
        while not recorder.batches or len(recorder.batches[-1]) < 5:
            received = len(recorder.deliveries) + 10
            publish(broker, *numbered(10))
            wait_until(lambda received=received: len(recorder.deliveries) == received)
        publish(broker, b"first")
        wait_until(lambda: consumer._subscription.received == received + 1)
        publish(broker, b"second")
        wait_until(lambda: len(recorder.deliveries) == received + 2)
    assert [len(batch) for batch in recorder.batches][-1] == 2


def test_only_rejected_events_become_dead_letters(vhost, broker, recorder):
    recorder.on_batch = lambda batch: rejecting(
        each for each in batch if each.envelope.body in {b"event-0", b"event-4"}
    )
    publish(broker, *numbered(5))
    with running(vhost.amqp_url, recorder):
        wait_until(lambda: depth(broker, topology.DEAD_LETTERS) == 2)
    assert depth(broker) == 0
    bodies = {broker.basic_get(topology.DEAD_LETTERS, auto_ack=True)[2] for _ in range(2)}
    assert bodies == {b"event-0", b"event-4"}


def test_unrouted_events_are_consumed_too(vhost, broker, recorder):
    publish(broker, b"lost", routing_key="nowhere")
    with running(vhost.amqp_url, recorder):
        wait_until(lambda: recorder.bodies() == [b"lost"])
    assert recorder.deliveries[0].queue == topology.UNROUTED


def test_a_batch_that_raises_an_exception_is_held_and_processed_later_without_redelivery(
    vhost, broker, recorder
):
    failures = [RuntimeError("bug"), *[RetryLaterError("database away", delay=0.05)] * 3]

    def fail(_batch):
        if failures:
            raise failures.pop()

    recorder.on_batch = fail
    publish(broker, *numbered(5))
    with running(vhost.amqp_url, recorder):
        wait_until(lambda: not failures and len(recorder.deliveries) == 5 and depth(broker) == 0)
    assert len(recorder.batches) > 4
    assert {each.delivery_count for each in recorder.deliveries} == {1}


def test_unsettled_events_of_a_lost_connection_are_redelivered_with_their_delivery_count(
    vhost, broker, recorder
):
    finish = threading.Event()
    recorder.on_batch = lambda _batch: finish.wait(PATIENCE_SECONDS) and None
    publish(broker, *numbered(1))
    with running(vhost.amqp_url, recorder) as consumer:
        wait_until(lambda: recorder.batches)
        consumer._loop.call_soon_threadsafe(lambda: consumer._subscription.drop("test"))
        wait_until(lambda: consumer._subscription is not None and consumer._subscription.received == 1)
        finish.set()
        wait_until(lambda: len(recorder.deliveries) == 2 and depth(broker) == 0)
    assert [each.delivery_count for each in recorder.deliveries] == [1, 2]


def test_the_consumer_continues_once_a_deleted_queue_is_declared_again(vhost, broker, recorder):
    with running(vhost.amqp_url, recorder):
        publish(broker, b"before")
        wait_until(lambda: recorder.bodies() == [b"before"])
        broker.queue_delete(topology.EVENTS_QUEUE)
        set_up(broker.connection)
        publish(broker, b"after")
        wait_until(lambda: recorder.bodies() == [b"before", b"after"])


def test_a_delayed_delivery_does_not_delay_other_deliveries_and_is_retried_alone(vhost, broker, recorder):
    def delays_one(batch):
        sick = [each for each in batch if each.envelope.body == b"event-5" and each.local_attempts < 2]
        return Settlement(retries={each.tag: 1.0 for each in sick})

    recorder.on_batch = delays_one
    publish(broker, *numbered(5))
    with running(vhost.amqp_url, recorder):
        wait_until(lambda: len(recorder.deliveries) == 5)
        publish(broker, *[f"event-{number}".encode() for number in range(5, 40)])
        wait_until(lambda: len(recorder.deliveries) == 40)
        assert sum(each.local_attempts for each in recorder.deliveries) == 0
        wait_until(lambda: recorder.batches[-1][0].local_attempts == 2)
        time.sleep(0.3)
    retries = [batch for batch in recorder.batches if batch[0].local_attempts]
    assert [len(batch) for batch in retries] == [1, 1]
    assert {each.delivery_count for each in recorder.deliveries} == {1}
    assert depth(broker) == 0


def test_deliveries_beyond_the_limit_of_delayed_deliveries_get_their_last_attempt_at_once(
    vhost, broker, recorder
):
    recorder.on_batch = lambda batch: Settlement(
        retries={each.tag: 60.0 for each in batch if not each.local_attempts}
    )
    publish(broker, *numbered(40))
    with running(vhost.amqp_url, recorder):
        wait_until(lambda: sum(batch[0].local_attempts for batch in recorder.batches) == 20)
        time.sleep(0.3)
    assert all(batch[0].is_last_attempt for batch in recorder.batches if batch[0].local_attempts)
    wait_until(lambda: depth(broker) == 20)


def test_the_loss_of_a_consumer_at_the_broker_is_noticed_while_a_delivery_waits_for_its_retry(
    vhost, broker, recorder, monkeypatch
):
    monkeypatch.setattr(consumer, "PROBE_SECONDS", 0.3)
    recorder.on_batch = lambda batch: Settlement(retries={each.tag: 600.0 for each in batch})
    publish(broker, b"sick")
    with running(vhost.amqp_url, recorder) as consuming:
        wait_until(lambda: recorder.bodies() == [b"sick"])
        recorder.on_batch = None
        # The first queue's delivery can arrive before the other queues' consumers are confirmed.
        wait_until(lambda: len(consuming._subscription._consumer_tags) == len(QUEUES))
        consuming._loop.call_soon_threadsafe(forget, consuming._subscription)
        wait_until(lambda: not consuming._subscription._channel.consumer_tags)
        publish(broker, b"good")
        wait_until(lambda: b"good" in recorder.bodies())


def forget(subscription):
    """Cancel the consumers at the broker without notifying the subscription."""
    for consumer_tag in subscription._consumer_tags:
        subscription._channel.basic_cancel(consumer_tag)


def test_suspects_are_processed_and_acknowledged_one_by_one(vhost, broker, recorder, held):
    started, finish = held
    publish(broker, *numbered(10))
    with running(vhost.amqp_url, recorder, stop_seconds=0.0) as consumer:
        assert started.wait(PATIENCE_SECONDS)
        wait_until(lambda: consumer._subscription.received == 10)
    finish.set()
    wait_until(lambda: depth(broker) == 10)
    successor = Recorder()
    with running(vhost.amqp_url, successor):
        wait_until(lambda: len(successor.batches) == 10)
    assert {len(batch) for batch in successor.batches} == {1}
    assert successor.bodies() == numbered(10)
    assert depth(broker) == 0


def test_a_stop_settles_the_deliveries_that_are_being_processed(vhost, broker, recorder):
    recorder.on_batch = lambda _batch: time.sleep(0.05)
    publish(broker, *numbered(30))
    with running(vhost.amqp_url, recorder):
        wait_until(lambda: recorder.batches)
    settled = sum(len(batch) for batch in recorder.batches)
    assert depth(broker) == 30 - settled
    assert {each.delivery_count for batch in recorder.batches for each in batch} == {1}


def test_a_stop_does_not_wait_for_an_unreachable_broker(recorder):
    before = time.monotonic()
    with running("amqp://guest:guest@127.0.0.1:1/", recorder):
        time.sleep(0.5)
    assert time.monotonic() - before < 3.0
