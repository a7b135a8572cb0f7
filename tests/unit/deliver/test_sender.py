"""A sender logs no content and can add deliveries to a run in progress; an idle process polls less often."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from messaging.clock import SystemClock
from workers.deliver import Destination, Outcome, WebhookMessage
from workers.deliver.deliverer import BUSY_SECONDS, IDLE_SECONDS, idle_delay, is_running_out
from workers.deliver.leasing import LeasedDelivery
from workers.deliver.outcome import FailedAttempts, HttpResult
from workers.deliver.recording import DeliveryAttempt
from workers.deliver.sender import AHEAD, MAX_AHEAD, MAX_RUN_EVENTS, Sender

CRM = Destination("crm", "https://crm.example/", ("whsec_c2VjcmV0",), ())
MESSAGE = WebhookMessage(7, "c", "t", datetime.now(tz=UTC), 0, late=False, verified=None, payload=b"words")
DELIVERY = LeasedDelivery(MESSAGE, FailedAttempts(), lease_us=0)


class FixedClock:
    def now_us(self):
        return -1_000_000_000


def attempt(took_us):
    result = HttpResult(204, "204")
    return DeliveryAttempt(CRM, DELIVERY, (), result, Outcome.DELIVERED, took_us=took_us, is_last=False)


def test_an_attempt_is_logged_without_its_content():
    sender = Sender(CRM, None, SystemClock(), None)
    sender.begin([DELIVERY])
    with capture_logs() as logged:
        sender.record(attempt(12_500))
    [line] = logged
    assert (line["event"], line["log_level"]) == ("delivery_attempted", "debug")
    assert (line["reason"], line["outbox_id"], line["ms"]) == ("204", 7, 12.5)
    assert "words" not in str(logged)


@pytest.mark.parametrize(("took_us", "events"), [(1_000, MAX_RUN_EVENTS), (10_000, 100), (500_000, 2)])
def test_a_run_is_limited_to_the_events_that_can_be_sent_in_a_second(took_us, events):
    sender = Sender(CRM, None, SystemClock(), None)
    sender.begin([DELIVERY])
    for _ in range(400):
        sender.record(attempt(took_us))
    assert sender.events_per_run() == events


def test_a_sender_needs_runs_when_its_threads_may_soon_have_none():
    sender = Sender(CRM, None, SystemClock(), None)
    conversations = [replace(MESSAGE, conversation_id=f"c-{number}") for number in range(sender.free_slots())]
    for needs_runs, part in ((True, conversations[::2]), (False, conversations[1::2])):
        sender.begin([replace(DELIVERY, message=message) for message in part])
        assert is_running_out(sender) == needs_runs


def test_a_delivery_that_is_leased_again_while_it_waits_is_not_sent_twice():
    ended = []
    sender = Sender(CRM, None, SystemClock(), ended.append)
    sender.begin([DELIVERY])
    sender.begin([DELIVERY])
    sender.stop()
    assert sender.in_flight == 1
    assert [ids(attempt.unsent) for attempt in ended] == [[7]]


def ids(run):
    return [delivery.message.outbox_id for delivery in run]


def deliveries(*ids):
    return [replace(DELIVERY, message=replace(MESSAGE, outbox_id=number)) for number in ids]


class Transport:
    """Answers each request with *status*, and calls *meanwhile* during the request for *outbox_id*."""

    def __init__(self, status, outbox_id, meanwhile):
        self.sent = []
        self._status = status
        self._at = outbox_id, meanwhile

    def send(self, message):
        self.sent.append(message.outbox_id)
        outbox_id, meanwhile = self._at
        if message.outbox_id == outbox_id:
            meanwhile()
        return HttpResult(self._status, "")


def send(status, outbox_id, *added):
    """Send deliveries 1 to 3; add *added* while *outbox_id* is sent; return sender, sent ids and attempts."""
    ended = []
    transport = Transport(status, outbox_id, lambda: sender.begin(deliveries(*added)))
    sender = Sender(CRM, transport, FixedClock(), ended.append)
    sender.begin(deliveries(1, 2, 3))
    sender._runs.put(None)
    sender._send_runs()
    return sender, transport.sent, ended


def test_deliveries_are_added_to_a_run_that_is_being_sent():
    sender, sent, ended = send(204, 2, 4, 5)
    assert sent == [1, 2, 3, 4, 5]
    assert [attempt.is_last for attempt in ended] == [False] * 4 + [True]
    assert sender.in_flight == 1


def test_an_earlier_delivery_that_is_resent_is_sent_at_the_end_of_the_run():
    assert send(204, 2, 0)[1] == [1, 2, 3, 0]


def test_a_recorded_delivery_that_is_resent_is_sent_again_in_the_same_run():
    ended = []

    def resend():
        sender.record(ended[0])
        sender.begin(deliveries(1, 4))

    transport = Transport(204, 2, resend)
    sender = Sender(CRM, transport, FixedClock(), ended.append)
    sender.begin(deliveries(1, 2, 3))
    sender._runs.put(None)
    sender._send_runs()
    assert transport.sent == [1, 2, 3, 1, 4]


def test_deliveries_that_a_run_already_sent_are_not_sent_again():
    sender, _, ended = send(204, None)
    sender.begin(deliveries(1, 2, 3))
    sender.record(ended[-1])
    assert sender.in_flight == 0


def test_deliveries_that_a_run_already_has_are_not_added_again():
    assert send(204, 2, 3, 4)[1] == [1, 2, 3]


def test_deliveries_behind_a_failed_delivery_wait_too_even_if_they_are_added_last():
    sender, sent, [attempt] = send(503, 1, 4)
    sender.begin(deliveries(5))
    sender.record(attempt)
    assert (sent, ids(attempt.unsent)) == ([1], [1, 2, 3, 4, 5])
    assert sender.in_flight == 0


@pytest.mark.parametrize("is_stopped", [False, True])
def test_deliveries_that_are_added_after_the_last_request_begin_a_new_run(is_stopped):
    sender, sent, ended = send(204, None)
    sender.begin(deliveries(4, 5))
    if is_stopped:
        sender.stop()
    sender.record(ended[-1])
    assert sent == [1, 2, 3]
    assert sender.in_flight == 1
    assert [ids(attempt.unsent) for attempt in ended[3:]] == ([[4, 5]] if is_stopped else [])
    assert is_stopped or list(sender._runs.get_nowait().deliveries) == deliveries(4, 5)


def test_an_idle_process_polls_at_growing_intervals_until_a_delivery_is_due():
    delays = [BUSY_SECONDS]
    for is_busy in (False, False, False, False, True):
        delays.append(idle_delay(delays[-1], is_busy=is_busy))
    assert delays == pytest.approx([0.02, 0.04, 0.08, 0.08, 0.08, 0.02])
    # Half of the events that need no window must reach their destination within 100 ms.
    assert IDLE_SECONDS < 0.1


@pytest.mark.parametrize(("took_us", "ahead"), [(1_000, MAX_AHEAD), (50_000, 4), (500_000, AHEAD)])
def test_more_conversations_are_leased_ahead_while_a_destination_answers_quickly(took_us, ahead):
    sender = Sender(CRM, None, SystemClock(), None)
    assert sender.free_slots() == AHEAD * CRM.concurrency
    sender.begin([DELIVERY])
    for _ in range(400):
        sender.record(attempt(took_us))
    assert sender.free_slots() == ahead * CRM.concurrency - 1
