import copy
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.parsing import EVENT_TYPES, DriftNotes, read_body

CUSTOM = "acme:conversation:message"


def key_of(payload):
    return key_of_body(json.dumps(payload).encode())


def key_of_body(body):
    return read_body(body, DriftNotes(), EVENT_TYPES | {CUSTOM})[0].idempotency_key


def literal_guide_key(payload):
    return f"{payload['conversationId']}:{payload['timestamp']}"


def test_the_guides_literal_key_alone_would_drop_real_events(payload):
    first = payload("guide/conversation-message", sequence=1)
    second = payload("guide/conversation-message", sequence=2)
    update = payload("guide/conversation-updated", timestamp=first["timestamp"])
    assert literal_guide_key(first) == literal_guide_key(second) == literal_guide_key(update)
    assert len({key_of(first), key_of(second), key_of(update)}) == 3


def test_a_key_starts_with_the_conversation_id_and_the_time(payload):
    key = key_of(payload("guide/conversation-message"))
    assert key.startswith("a1b2c3d4-e5f6-7890-abcd-ef1234567890:2024-05-15T14:32:11.250000Z:message:")


GUIDE, TEXT, RECEIPT = "guide/conversation-message", "genesys/text", "genesys/receipt-failed"
ONE_MOMENT = {"sequence": None, "message": {"direction": "inbound", "from": "ext:customer:1"}}
INTEGRATION = {"id": "another-integration", "time": "2025-06-10T21:03:05.427Z", "to": {"id": "c"}}
DIFFERENT = {
    "messages of one moment": [
        (GUIDE, ONE_MOMENT | changes)
        for changes in (
            {"message": {"text": "one"}},
            {"routing": {"agentId": "agent-1"}},
            {"messageId": "m-1"},
            {"sequenceNumber": 1},
            {"new": {"field": {"of": ["the", "platform"]}}},
        )
    ],
    "types of one last word": [(GUIDE, {}), (GUIDE, {"eventType": CUSTOM})],
    "receipts": [
        (RECEIPT, changes)
        for changes in (
            {},
            {"status": "Read"},
            {"isFinalReceipt": True},
            {"reasons": [{"code": "GeneralError"}]},
            {"reasons": None},
            {"id": "another"},
            {"direction": "Inbound"},
            {"type": "Text"},
        )
    ],
    "a message and its receipts": [(TEXT, {"type": kind, "status": kind}) for kind in ("Text", "Receipt")],
    "one id on two integrations": [(TEXT, {}), (TEXT, {"channel": INTEGRATION})],
}


@pytest.mark.parametrize("bodies", DIFFERENT.values(), ids=DIFFERENT)
def test_bodies_that_differ_anywhere_are_different_events(payload, bodies):
    """Guarantee 3.3."""
    assert len({key_of(payload(name, **changes)) for name, changes in bodies}) == len(bodies)


SAME = {
    "a guide's message by its id": [
        (GUIDE, {"message": {"id": "m-1", "text": "Hello"}}),
        (GUIDE, {"message": {"id": "m-1"}, "sequence": None}),
    ],
    "a native body with and without its own id": [(TEXT, {}), (TEXT, {"id": None})],
}


@pytest.mark.parametrize("bodies", SAME.values(), ids=SAME)
def test_bodies_with_the_same_message_id_are_the_same_event(payload, bodies):
    assert len({key_of(payload(name, **changes)) for name, changes in bodies}) == 1


@pytest.mark.parametrize("name", ["genesys/text", "genesys/receipt-failed", "genesys/typing"])
def test_a_reconciled_copy_has_the_originals_key_even_if_conversation_and_time_differ(payload, name):
    copied = payload(name, conversationId="another")
    copied["channel"] |= {"time": "2026-01-01T00:00:00Z", "metadata": None}
    assert key_of(copied) == key_of(payload(name))


def test_native_bodies_without_any_id_are_distinguished_by_their_content(payload):
    def without_id(**changes):
        body = payload("genesys/text", id=None, **changes)
        body["channel"]["messageId"] = None
        return body

    later = without_id()
    later["channel"]["time"] = "2025-06-10T21:03:06.000Z"
    assert key_of(without_id()) == key_of(without_id())
    assert len({key_of(each) for each in (without_id(), without_id(text="Ho"), later)}) == 3


def test_the_longest_key_fits_into_an_index(payload):
    # An index entry can have up to 2,704 bytes, and a character has at most four bytes.
    longest = "\N{WAVING HAND SIGN}" * 255
    guide = payload("guide/conversation-message", conversationId=longest, message={"id": longest})
    genesys = payload("genesys/receipt-failed", id=longest, direction=longest * 9, status=longest * 9)
    genesys["channel"]["id"] = longest
    assert max(len(key_of(each).encode()) for each in (guide, genesys)) < 2_704


MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1))  # noqa: DTZ001  # made aware below
OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(MOMENTS, OFFSETS)
def test_the_time_zone_of_a_timestamp_does_not_change_the_key(moment, offset):
    utc = moment.replace(tzinfo=UTC)
    payload = {"eventType": "openmessaging:conversation:new", "conversationId": "c", "sequence": 1}
    assert key_of(payload | {"timestamp": utc.isoformat()}) == key_of(
        payload | {"timestamp": utc.astimezone(offset).isoformat()}
    )


NAMES = st.sampled_from(
    ["message", "text", "body", "routing", "agentId", "state", "attachments", "metadata", "new", "\x00", "é"]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
WITHOUT_ID = st.dictionaries(NAMES, VALUES, max_size=4).map(
    lambda members: {
        "eventType": "openmessaging:conversation:updated",
        "conversationId": "c-1",
        "timestamp": "2024-05-15T14:32:10.000Z",
        **members,
    }
)


@given(WITHOUT_ID, st.data())
def test_any_change_of_a_value_changes_the_key(event, data):
    changed = copy.deepcopy(event)
    _change_a_value(changed, data)
    assert (key_of(changed) == key_of(event)) == (_typed(changed) == _typed(event))


@given(WITHOUT_ID, st.randoms(), st.sampled_from([None, 1, "\t"]), st.booleans())
def test_member_order_white_space_and_escapes_do_not_change_the_key(event, random, indent, escapes):
    spelt = json.dumps(_shuffled(event, random), indent=indent, ensure_ascii=escapes)
    assert key_of_body(spelt.encode()) == key_of_body(json.dumps(event).encode())


def test_the_spelling_of_a_number_does_not_change_the_key():
    body = (
        b'{"eventType":"openmessaging:conversation:updated","conversationId":"c",'
        b'"timestamp":"2024-05-15T14:32:10Z","new":%s}'
    )
    assert len({key_of_body(body % number) for number in (b"1", b"1.0", b"1e0", b"10E-1", b"0.1e+1")}) == 1
    assert len({key_of_body(body % number) for number in (b"1", b'"1"', b"1.5", b"-1", b"true")}) == 5


def _typed(value):
    """Make values comparable: true equals 1 in Python, but not in JSON."""
    if isinstance(value, dict):
        return {name: _typed(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_typed(member) for member in value]
    return (isinstance(value, bool), repr(value))


def _change_a_value(value, data):
    """Replace one value at any depth."""
    names = [name for name in value if name not in {"eventType", "conversationId", "timestamp"}]
    if not names:
        value["new"] = data.draw(VALUES)
        return
    name = data.draw(st.sampled_from(names))
    if isinstance(value[name], dict) and value[name] and data.draw(st.booleans()):
        _change_a_value(value[name], data)
    else:
        value[name] = data.draw(VALUES)


def _shuffled(value, random):
    if isinstance(value, list):
        return [_shuffled(member, random) for member in value]
    if not isinstance(value, dict):
        return value
    members = [(name, _shuffled(member, random)) for name, member in value.items()]
    random.shuffle(members)
    return dict(members)


def test_the_key_uses_the_later_of_two_members_with_the_same_name():
    body = b'{"eventType":"openmessaging:conversation:new","conversationId":"a","timestamp":1,%s}'
    once = body % b'"conversationId":"c","timestamp":"2024-05-15T14:32:10Z"'
    twice = body % b'"timestamp":"2024-05-15T14:32:10Z","conversationId":"b","conversationId":"c"'
    assert key_of_body(once) == key_of_body(twice)
