"""Every dead letter's reason is recorded in SQL before the dead letter reaches the operators' queue."""

import json
import time

from messaging import topology
from tests.integration.workers.consuming import depth, publish
from tests.integration.workers.events import said
from tests.waiting import wait_until

GOOD = json.dumps(said("good")).encode()
REASONS = "SELECT message_id, code FROM dead_letters ORDER BY message_id"


def deliver_in_vain(channel):
    """Requeue the only event in the queue until it exceeds the broker's delivery limit."""
    for _ in range(topology.DELIVERY_LIMIT + 1):
        wait_until(lambda: depth(channel) == 1)
        method, _, _ = channel.basic_get(topology.EVENTS_QUEUE)
        channel.basic_nack(method.delivery_tag, requeue=True)


def dead_letters(channel, count):
    wait_until(lambda: depth(channel, topology.DEAD_LETTERS) == count)
    return [channel.basic_get(topology.DEAD_LETTERS, auto_ack=True) for _ in range(count)]


def test_an_event_dead_lettered_by_the_broker_is_recorded_with_the_brokers_reason(working, channel, query):
    publish(channel, GOOD, message_id="limit")
    deliver_in_vain(channel)
    publish(channel, GOOD, message_id="late", expiration="1")
    wait_until(lambda: depth(channel, topology.DEAD_LETTER_RECORDS) == 2)
    publish(channel, GOOD, message_id="operator")
    wait_until(lambda: depth(channel) == 1)
    method, _, _ = channel.basic_get(topology.EVENTS_QUEUE)
    channel.basic_reject(method.delivery_tag, requeue=False)

    with working():
        found = dead_letters(channel, 3)

    assert query(REASONS) == [("late", "expired"), ("limit", "delivery_limit"), ("operator", "rejected")]
    # The key lets reconciliation recognise the event.
    keyed = "SELECT message_id FROM dead_letters WHERE idempotency_key IS NOT NULL ORDER BY message_id"
    assert query(keyed) == [("late",), ("limit",)]
    assert {body for _, _, body in found} == {GOOD}
    assert query("SELECT count(*) FROM processed_events") == [(0,)]


def test_each_dead_letter_is_recorded_once_and_stays_in_the_operators_queue(working, channel, query):
    for number in range(30):
        publish(channel, b"[", message_id=f"broken-{number}")
    with working():
        wait_until(lambda: depth(channel, topology.DEAD_LETTERS) == 30)
        time.sleep(1.0)
    assert depth(channel, topology.DEAD_LETTERS) == 30
    assert depth(channel, topology.DEAD_LETTER_RECORDS) == 0
    assert query("SELECT count(*) FROM dead_letters") == [(30,)]
