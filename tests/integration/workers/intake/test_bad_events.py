"""Good events are processed among any number of bad ones."""

import json
import time

import pytest

from messaging import topology
from messaging.errors import RetryLaterError
from tests.integration.workers.consuming import depth
from tests.integration.workers.events import event, said
from tests.waiting import wait_until
from workers.parsing import CONVERSATION_MESSAGE

FLOOD = 600
UNKNOWN = event("merged")
BAD = {
    "of an unknown type": UNKNOWN,
    "without a timestamp": {"eventType": UNKNOWN["eventType"], "conversationId": "c-1"},
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_good_events_in_and_behind_a_flood_of_bad_ones_are_processed(start, publish, count, channel, bad):
    start(OM_BATCH_EVENTS="50")
    publish(*[bad] * FLOOD)
    publish(*[bad if number % 20 else said("good", after_ms=number) for number in range(FLOOD)])
    wait_until(lambda: count() == FLOOD // 20)
    wait_until(lambda: depth(channel, topology.DEAD_LETTERS) == 2 * FLOOD - FLOOD // 20)


def test_events_that_request_a_later_retry_delay_no_other_event(working, channel, handlers, query):
    def handler(connection, claimed, now_us):
        if any(each.event.text == "later" for each in claimed):
            raise RetryLaterError("later", delay=60.0)

    handlers[CONVERSATION_MESSAGE] = (*handlers[CONVERSATION_MESSAGE], handler)
    for number in range(300):
        body = json.dumps(said("later" if number % 2 else "good", after_ms=number)).encode()
        channel.basic_publish(topology.EXCHANGE, topology.EVENT_ROUTING_KEY, body)
    with working(handlers=handlers):
        wait_until(lambda: query("SELECT count(*) FROM processed_events") == [(150,)])
        time.sleep(2.0)
    assert query("SELECT count(*) FROM dead_letters") == [(0,)]
