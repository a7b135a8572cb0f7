"""What is read before its turn, and what is not."""

import json
from dataclasses import replace

import pytest

from messaging.consuming import Delivery
from messaging.envelope import Envelope
from workers.intake.guard import Guard
from workers.intake.outcome import Parsed, Refused
from workers.intake.reading import AT_A_TIME, Reader
from workers.parsing import CONVERSATION_NEW


def delivered(tag, **more):
    event = {"eventType": CONVERSATION_NEW, "conversationId": f"c-{tag}", "timestamp": "2026-01-05T08:00:00Z"}
    body = json.dumps(event | more).encode()
    return Delivery(tag, "open-messaging.events", 1, Envelope(f"m-{tag}", 1, "r", "webhook", body))


@pytest.fixture
def reader():
    return Reader({CONVERSATION_NEW}, Guard(None))


def conversations_of(outcome):
    assert isinstance(outcome, Parsed)
    return [each.event.conversation_id for each in outcome.arrivals]


def test_what_is_expected_is_read_a_few_at_a_time_in_its_order(reader):
    reader.expect([delivered(number, **{f"field_{number}": True}) for number in range(AT_A_TIME + 1)])

    assert reader.read_ahead()
    assert len(reader.notes.pending()) == AT_A_TIME
    assert f"field_{AT_A_TIME}" not in [each.name for each in reader.notes.pending()]
    assert reader.read_ahead()
    assert not reader.read_ahead()


def test_what_was_read_ahead_is_not_read_again(reader):
    delivery = delivered(1)
    reader.expect([delivery])
    reader.read_ahead()

    first, again = reader.read(delivery), reader.read(delivery)

    assert conversations_of(first) == conversations_of(again) == ["c-1"]
    assert first.delivery is again.delivery is delivery


def test_the_same_tag_on_another_connection_is_another_delivery(reader):
    reader.expect([delivered(1)])
    reader.read_ahead()
    other = replace(delivered(2), tag=1)

    assert conversations_of(reader.read(other)) == ["c-2"]


@pytest.mark.parametrize("sign", [{"attempt": 2}, {"hangs": 1}, {"tries": 1}], ids=str)
def test_what_may_do_harm_is_not_read_before_its_turn(reader, sign):
    reader.expect([replace(delivered(1), **sign)])

    assert not reader.read_ahead()


def test_what_cannot_be_read_is_refused_in_its_turn(reader):
    delivery = replace(delivered(1), envelope=Envelope("m", 1, "r", "webhook", b"no JSON"))
    reader.expect([delivery])
    assert reader.read_ahead()

    assert isinstance(reader.read(delivery), Refused)


def test_what_was_read_ahead_on_a_connection_that_is_lost_is_not_kept(reader):
    reader.expect([delivered(number) for number in range(AT_A_TIME)])
    reader.read_ahead()

    assert len(reader.read_all([delivered(1)])) == 1
    assert not reader._read_ahead
