import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.parsing.dialects import read_event
from workers.parsing.drift import DriftNotes
from workers.parsing.events import EVENT_TYPES


def key_of(payload):
    return read_event(payload, DriftNotes(), EVENT_TYPES).idempotency_key


def literal_guide_key(payload):
    return f"{payload['conversationId']}:{payload['timestamp']}"


def test_the_guides_literal_key_alone_drops_real_events(payload):
    first = payload("guide/conversation-message", sequence=1)
    second = payload("guide/conversation-message", sequence=2)
    update = payload("guide/conversation-updated", timestamp=first["timestamp"])

    assert literal_guide_key(first) == literal_guide_key(second) == literal_guide_key(update)
    assert len({key_of(first), key_of(second), key_of(update)}) == 3


def test_a_key_starts_with_conversation_and_instant(payload):
    key = key_of(payload("guide/conversation-message"))

    assert key.startswith("a1b2c3d4-e5f6-7890-abcd-ef1234567890:2024-05-15T14:32:11.250000Z:message:")


@pytest.mark.parametrize(
    "spelling",
    [
        "2024-05-15T14:32:10Z",
        "2024-05-15T14:32:10.000Z",
        "2024-05-15T14:32:10.000000Z",
        "2024-05-15T14:32:10+00:00",
        "2024-05-15T16:32:10+02:00",
        "2024-05-15 14:32:10Z",
    ],
)
def test_every_spelling_of_an_instant_gives_one_key(payload, spelling):
    assert key_of(payload("guide/conversation-new", timestamp=spelling)) == key_of(
        payload("guide/conversation-new")
    )


def test_a_message_id_outranks_what_else_a_copy_says(payload):
    said = {"id": "m-1", "text": "Hello"}
    original = payload("guide/conversation-message", message=said)
    recovered = payload("guide/conversation-message", message={"id": "m-1"}, sequence=None)

    assert key_of(original) == key_of(recovered)


def test_two_messages_without_id_or_sequence_differ_by_what_they_say(payload):
    first = payload("guide/conversation-message", sequence=None, message={"text": "one"})
    second = payload("guide/conversation-message", sequence=None, message={"text": "two"})

    assert key_of(first) != key_of(second)


def test_two_minor_updates_of_one_moment_differ_by_their_attributes(payload):
    first = payload("guide/conversation-updated", routing=None, attributes={"whisperNote": "a"})
    second = payload("guide/conversation-updated", routing=None, attributes={"wrapUpCode": "a"})

    assert key_of(first) != key_of(second)


def test_a_copy_with_a_new_field_is_the_same_event(payload):
    original = payload("guide/conversation-new")
    copy = payload("guide/conversation-new", newField={"since": "next release"})
    copy["channel"]["newField"] = 1
    copy["participants"][0]["newField"] = 1

    assert key_of(copy) == key_of(original)


def test_a_rotated_token_makes_no_other_event(payload):
    original = payload("guide/conversation-new")
    copy = payload("guide/conversation-new", metadata={"customChannelToken": "another"})

    assert key_of(copy) == key_of(original)


def test_a_message_its_receipts_and_their_statuses_are_different_events(payload):
    message = payload("genesys/text")
    receipts = [payload("genesys/receipt-published", id=message["id"], status=s) for s in ("Sent", "Read")]
    for receipt in receipts:
        receipt["channel"]["time"] = message["channel"]["time"]

    assert len({key_of(each) for each in (message, *receipts)}) == 3


MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1))  # noqa: DTZ001  # made aware below
OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(MOMENTS, OFFSETS)
def test_the_time_zone_of_a_timestamp_does_not_matter(moment, offset):
    utc = moment.replace(tzinfo=UTC)
    payload = {"eventType": "openmessaging:conversation:new", "conversationId": "c"}

    assert key_of(payload | {"timestamp": utc.isoformat()}) == key_of(
        payload | {"timestamp": utc.astimezone(offset).isoformat()}
    )


EVENTS = st.fixed_dictionaries(
    {
        "eventType": st.sampled_from(
            ["openmessaging:conversation:new", "openmessaging:conversation:message"]
        ),
        "conversationId": st.sampled_from(["c-1", "c-2"]),
        "timestamp": st.sampled_from(["2024-05-15T14:32:10.000Z", "2024-05-15T14:32:10.001Z"]),
        "message": st.one_of(
            st.fixed_dictionaries({"id": st.sampled_from(["m-1", "m-2"])}),
            st.fixed_dictionaries({"text": st.text(max_size=3)}),
        ),
    }
)


@given(EVENTS, EVENTS)
def test_events_have_one_key_exactly_if_their_business_fields_agree(first, second):
    assert (key_of(first) == key_of(second)) == (first == second)


@given(EVENTS)
def test_the_order_of_members_does_not_matter(event):
    shuffled = dict(reversed(event.items()))

    assert key_of(json.loads(json.dumps(shuffled))) == key_of(event)
