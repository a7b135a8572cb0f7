"""A sender logs no content and can add deliveries to a run in progress; an idle process polls less often."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from messaging.clock import SystemClock
from tests.fakes.clock import FakeClock
from workers.deliver import Destination, Outcome, WebhookMessage
from workers.deliver.deliverer import BUSY_SECONDS, IDLE_SECONDS, idle_delay, is_running_out
from workers.deliver.leasing import LeasedDelivery
from workers.deliver.outcome import FailedAttempts, HttpResult
from workers.deliver.recording import DeliveryAttempt
from workers.deliver.sender import AHEAD, MAX_AHEAD, MAX_RUN_EVENTS, Sender

CRM = Destination("crm", "https://crm.example/", ("whsec_c2VjcmV0",), ())
MESSAGE = WebhookMessage(7, "c", "t", datetime.now(tz=UTC), 0, late=False, verified=None, payload=b"words")
DELIVERY = LeasedDelivery(MESSAGE, FailedAttempts(), lease_us=0)


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


@pytest.mark.parametrize(
    ("took_us", "events", "ahead"), [(1_000, MAX_RUN_EVENTS, MAX_AHEAD), (50_000, 20, 4), (500_000, 2, AHEAD)]
)
def test_a_fast_destination_gets_longer_runs_and_more_conversations_are_leased_ahead(took_us, events, ahead):
    """A run is limited to the events that can be sent in a second."""
    sender = Sender(CRM, None, SystemClock(), None)
    assert sender.free_slots() == AHEAD * CRM.concurrency
    sender.begin([DELIVERY])
    for _ in range(400):
        sender.record(attempt(took_us))
    assert sender.events_per_run() == events
    assert sender.free_slots() == ahead * CRM.concurrency - 1


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


def send(status, outbox_id, *added, record_first=False):
    """Send deliveries 1 to 3; add *added* while *outbox_id* is sent; return sender, sent ids and attempts."""
    ended = []

    def meanwhile():
        if record_first:
            sender.record(ended[0])
        sender.begin(deliveries(*added))

    transport = Transport(status, outbox_id, meanwhile)
    sender = Sender(CRM, transport, FakeClock(-1_000.0), ended.append)
    sender.begin(deliveries(1, 2, 3))
    sender._runs.put(None)
    sender._send_runs()
    return sender, transport.sent, ended


# An earlier delivery that is resent is sent at the end; deliveries that a run already has are not added.
@pytest.mark.parametrize(
    ("added", "expected"), [((4, 5), [1, 2, 3, 4, 5]), ((0,), [1, 2, 3, 0]), ((3, 4), [1, 2, 3])]
)
def test_deliveries_are_added_to_a_run_that_is_being_sent(added, expected):
    sender, sent, ended = send(204, 2, *added)
    assert sent == expected
    assert [attempt.is_last for attempt in ended] == [False] * (len(expected) - 1) + [True]
    assert sender.in_flight == 1


def test_a_recorded_delivery_that_is_resent_is_sent_again_in_the_same_run():
    assert send(204, 2, 1, 4, record_first=True)[1] == [1, 2, 3, 1, 4]


def test_deliveries_that_a_run_already_sent_are_not_sent_again():
    sender, _, ended = send(204, None)
    sender.begin(deliveries(1, 2, 3))
    sender.record(ended[-1])
    assert sender.in_flight == 0


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
