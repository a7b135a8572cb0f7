"""Good events are processed even if they arrive among many bad events."""

import time

from messaging.clock import SystemClock
from messaging.errors import RetryLaterError
from tests.integration.workers.conftest import ON_POSTGRESQL
from tests.integration.workers.consuming import publish
from tests.integration.workers.events import said
from tests.waiting import wait_until
from workers.parsing import CONVERSATION_MESSAGE

FAILING_EVENTS, FAILING_RATE = 200, 20


def test_events_whose_handler_requests_a_later_retry_do_not_delay_others(working, channel, handlers, query):
    def handler(connection, claimed, now_us):
        if any(each.event.text == "later" for each in claimed):
            raise RetryLaterError("later", delay=60.0)

    handlers[CONVERSATION_MESSAGE] = (*handlers[CONVERSATION_MESSAGE], handler)
    for number in range(300):
        publish(channel, said("later" if number % 2 else "good", after_ms=number))
    with working(handlers=handlers):
        wait_until(lambda: query("SELECT count(*) FROM processed_events") == [(150,)])
        time.sleep(2.0)
    assert query("SELECT count(*) FROM dead_letters") == [(0,)]


@ON_POSTGRESQL
def test_good_events_are_processed_within_two_seconds_while_a_handler_fails_for_nineteen_of_twenty(
    working, channel, handlers, query, longest_wait
):
    """Guarantee 7.2."""

    def handler(connection, claimed, now_us):
        if any(each.event.text == "bad" for each in claimed):
            raise ValueError("a bug")

    handlers[CONVERSATION_MESSAGE] = (*handlers[CONVERSATION_MESSAGE], handler)
    with working(handlers=handlers):
        for number in range(FAILING_EVENTS):
            text = "bad" if number % 20 else "good"
            now_us = SystemClock().now_us()
            publish(channel, said(text, after_ms=number), headers={"received-at-us": now_us})
            time.sleep(1 / FAILING_RATE)
        wait_until(lambda: query("SELECT count(*) FROM processed_events") == [(FAILING_EVENTS // 20,)])
        assert longest_wait() < 2.0
