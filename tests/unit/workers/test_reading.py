"""All deliveries except suspects are parsed in advance, and the event filter marks events to skip."""

import json
from dataclasses import replace

import pytest

from messaging.consuming import Delivery
from messaging.envelope import Envelope
from workers.filters import check_filter
from workers.intake.reading import PREFETCH_STEP, Reader
from workers.parsing import CONVERSATION_NEW


def delivered(tag, **more):
    event = {"eventType": CONVERSATION_NEW, "conversationId": f"c-{tag}", "timestamp": "2026-01-05T08:00:00Z"}
    body = json.dumps(event | more).encode()
    return Delivery(tag, "open-messaging.events", 1, Envelope(f"m-{tag}", 1, "r", "webhook", body))


@pytest.fixture
def reader():
    return Reader({CONVERSATION_NEW})


def conversations_of(outcome):
    return [each.event.conversation_id for each in outcome.arrivals]


def test_the_next_batch_is_parsed_a_few_deliveries_at_a_time_and_in_order(reader):
    reader.expect([delivered(number, **{f"field_{number}": True}) for number in range(PREFETCH_STEP + 1)])
    assert reader.prefetch()
    assert len(reader.notes.pending()) == PREFETCH_STEP
    assert f"field_{PREFETCH_STEP}" not in [each.name for each in reader.notes.pending()]
    assert reader.prefetch()
    assert not reader.prefetch()


def test_a_prefetched_delivery_is_not_parsed_again(reader):
    delivery = delivered(1)
    reader.expect([delivery])
    reader.prefetch()
    prefetched = reader._prefetched[1]
    [outcome] = reader.read_all([delivery])
    assert outcome is prefetched
    assert conversations_of(outcome) == ["c-1"]


def test_the_same_tag_on_another_connection_is_another_delivery(reader):
    reader.expect([delivered(1)])
    reader.prefetch()
    other = replace(delivered(2), tag=1)
    [outcome] = reader.read_all([other])
    assert conversations_of(outcome) == ["c-2"]


@pytest.mark.parametrize("sign", [{"delivery_count": 2}, {"local_attempts": 1}], ids=str)
def test_a_suspect_delivery_is_not_parsed_early(reader, sign):
    reader.expect([replace(delivered(1), **sign)])
    assert not reader.prefetch()


@pytest.mark.parametrize(
    ("expression", "skip", "undecided"),
    [
        ("channel.externalId == 'mine'", None, 0),
        ("channel.externalId == 'yours'", "filtered", 0),
        ("routing.status == 'CONTACT-QUEUED'", None, 1),
    ],
)
def test_the_filter_marks_events_and_accepts_those_that_it_cannot_evaluate(expression, skip, undecided):
    reader = Reader({CONVERSATION_NEW}, check_filter(expression))
    [outcome] = reader.read_all([delivered(1, channel={"type": "custom", "externalId": "mine"})])
    assert [arrival.event.skip for arrival in outcome.arrivals] == [skip]
    assert (reader.take_undecided(), reader.take_undecided()) == (undecided, 0)
