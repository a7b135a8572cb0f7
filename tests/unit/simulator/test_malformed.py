"""Each spoiled body is spoiled in the way its name says."""

import json

import pytest

from simulator.traffic.malformed import SPOILERS

PAYLOAD = {
    "eventType": "openmessaging:conversation:message",
    "conversationId": "a1b2c3d4",
    "timestamp": "2026-01-01T00:00:00.000Z",
    "message": {"text": "Hi 👋"},
}


@pytest.mark.parametrize("kind", ["bad-utf8", "truncated", "byte-order-mark", "deep-nesting", "huge-number"])
def test_python_cannot_parse_it(kind):
    with pytest.raises((ValueError, RecursionError)):
        json.loads(SPOILERS[kind](PAYLOAD).decode())


@pytest.mark.parametrize(
    ("kind", "sign"),
    [
        ("nan", b"NaN"),
        ("lone-surrogate", b"\\ud800"),
        ("nul-character", b"\\u0000"),
        ("not-an-object", b"[{"),
        ("event-type-unknown", b"exploded"),
    ],
)
def test_python_parses_it_and_it_is_wrong_all_the_same(kind, sign):
    body = SPOILERS[kind](PAYLOAD)
    json.loads(body)
    assert sign in body


def test_a_key_stands_twice_in_one_object():
    assert SPOILERS["duplicate-keys"](PAYLOAD).count(b'"timestamp"') == 2


@pytest.mark.parametrize(
    ("kind", "field"), [("conversation-id-missing", "conversationId"), ("timestamp-missing", "timestamp")]
)
def test_a_required_field_is_missing_and_nothing_else(kind, field):
    assert json.loads(SPOILERS[kind](PAYLOAD)).keys() == PAYLOAD.keys() - {field}


@pytest.mark.parametrize("kind", ["conversation-id-wrong-type", "timestamp-wrong-type", "timestamp-no-time"])
def test_a_required_field_has_a_wrong_value(kind):
    assert json.loads(SPOILERS[kind](PAYLOAD)) != PAYLOAD


def test_every_body_stays_below_the_edges_size_limit():
    assert all(len(spoil(PAYLOAD)) < 1024 * 1024 for spoil in SPOILERS.values())
