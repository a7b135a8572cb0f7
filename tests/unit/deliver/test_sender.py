"""A sender's log line, the growth of its runs, and the interval at which an idle process polls."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from messaging.clock import SystemClock
from workers.deliver import Destination, Outcome, WebhookMessage
from workers.deliver.deliverer import BUSY_SECONDS, IDLE_SECONDS, idle_delay
from workers.deliver.leasing import LeasedDelivery
from workers.deliver.outcome import History, HttpResult
from workers.deliver.recording import DeliveryAttempt
from workers.deliver.sender import MAX_RUN_EVENTS, Run, Sender

CRM = Destination("crm", "https://crm.example/", ("whsec_c2VjcmV0",), ())
MESSAGE = WebhookMessage(7, "c", "t", datetime.now(tz=UTC), 0, late=False, verified=None, payload=b"words")
DELIVERY = LeasedDelivery(MESSAGE, History(), lease_us=0)


def attempt(took_us):
    result = HttpResult(204, "204")
    return DeliveryAttempt(
        CRM, DELIVERY, result, Outcome.DELIVERED, 0, 0, (7,), is_last=True, took_us=took_us
    )


def test_an_attempt_is_logged_without_its_content():
    sender = Sender(CRM, None, SystemClock(), None)
    with capture_logs() as logged:
        sender.record(attempt(12_500))
    [line] = logged
    assert (line["event"], line["log_level"]) == ("delivery_attempted", "debug")
    assert (line["reason"], line["outbox_id"], line["ms"]) == ("204", 7, 12.5)
    assert "words" not in str(logged)


@pytest.mark.parametrize(("took_us", "events"), [(1_000, MAX_RUN_EVENTS), (10_000, 100), (500_000, 2)])
def test_a_run_has_as_many_events_as_can_be_sent_in_a_second(took_us, events):
    sender = Sender(CRM, None, SystemClock(), None)
    for _ in range(400):
        sender.record(attempt(took_us))
    assert sender.events_per_run() == events


def test_a_delivery_that_is_leased_again_while_it_waits_is_not_sent_twice():
    ended = []
    sender = Sender(CRM, None, SystemClock(), ended.append)
    sender.begin([DELIVERY])
    sender.begin([DELIVERY])
    sender.stop()
    assert sender.in_flight == 1
    assert [attempt.rest for attempt in ended] == [(7,)]


def deliveries(*ids):
    return [replace(DELIVERY, message=replace(MESSAGE, outbox_id=number)) for number in ids]


def test_deliveries_can_be_added_to_a_run_until_it_ends():
    run = Run(deliveries(1, 2), is_probe=False)
    assert run.add(deliveries(3))
    assert [run.advance() for _ in range(3)] == [(1,), (2,), (3,)]
    assert run.is_ended
    assert not run.add(deliveries(4))
    failed = Run(deliveries(1, 2, 3), is_probe=False)
    failed.advance()
    # Deliveries that the run already contains are not added again.
    assert failed.add(deliveries(3, 4))
    assert [delivery.message.outbox_id for delivery in failed.end()] == [2, 3]
    assert not failed.add(deliveries(5))


def test_an_idle_process_polls_less_and_less_often_until_a_delivery_is_due():
    delays = [BUSY_SECONDS]
    for is_busy in (False, False, False, False, True):
        delays.append(idle_delay(delays[-1], is_busy=is_busy))
    assert delays == pytest.approx([0.02, 0.04, 0.08, 0.08, 0.08, 0.02])
    # An event that needs no window may take 100 ms to its destination, in the median.
    assert IDLE_SECONDS < 0.1
