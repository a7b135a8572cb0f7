import time
from contextlib import suppress

import pytest

from messaging.errors import RejectedEventError
from workers.parsing import EVENT_TYPES, DriftNotes, read_body
from workers.parsing.json_body import parse_body

MALFORMED = {
    "empty": (b"", "not_json", "body"),
    "bad UTF-8": (b'{"a":"\xff"}', "not_utf8", "byte 6"),
    "truncated": (b'{"a":', "not_json", "character 5"),
    "two documents": (b"{} {}", "not_json", "character 3"),
    "byte order mark": (b"\xef\xbb\xbf{}", "byte_order_mark", "byte order mark"),
    "NaN": (b'{"a":NaN}', "not_a_number", "NaN"),
    "Infinity": (b'{"a":-Infinity}', "not_a_number", "-Infinity"),
    "100,000 brackets": (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "too_deep", "nested"),
    "bare NUL": (b'{"a":"x\x00y"}', "not_json", "character 7"),
    "list": (b"[{}]", "not_an_object", "object"),
    "text": (b'"{}"', "not_an_object", "object"),
    "null": (b"null", "not_an_object", "object"),
}


@pytest.mark.parametrize(("body", "code", "words"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_body_is_refused_with_a_stable_code_and_a_printable_reason(body, code, words):
    with pytest.raises(RejectedEventError) as caught:
        parse_body(body)
    assert caught.value.code == code
    assert words in caught.value.reason
    assert caught.value.reason.isascii()
    assert caught.value.reason.isprintable()


@pytest.mark.parametrize(
    ("body", "parsed"),
    [
        (b'{"a":"\\ud83d\\udc4b"}', {"a": "\N{WAVING HAND SIGN}"}),
        ('{"a":"é"}'.encode(), {"a": "é"}),
        (b'{"a":"\\\\u0000"}', {"a": "\\u0000"}),
        (b'{"a":1.5,"b":12345678901234567890}', {"a": 1.5, "b": 12345678901234567890}),
        (b'{"a":{"b":1,"c":2,"b":3}}', {"a": {"b": 3, "c": 2}}),
        (b'{"a":"x\\u0000y"}', {"a": "x\x00y"}),
        (b'{"a":"\\ud800","\\uDC00":1}', {"a": "\ud800", "\udc00": 1}),
        (b'{"a":1.0,"b":10e-1,"c":-0.0}', {"a": 1, "b": 1, "c": 0}),
        (b'{"a":1e999,"b":-1e999,"c":1e400}', {"a": "1e999", "b": "-1e999", "c": "1e400"}),
        (b'{"a":' + b"7" * 5_000 + b',"b":2}', {"a": "7" * 5_000, "b": 2}),
        (b' \t\r\n{ "a" : [ ] } \n', {"a": []}),
    ],
)
def test_every_form_that_rfc_8259_permits_is_parsed(body, parsed):
    assert parse_body(body) == parsed


def _event_with(members):
    """Return an event without an id, so that its key is a digest of the whole body."""
    return (
        b'{"eventType":"openmessaging:conversation:updated","conversationId":"c",'
        b'"timestamp":"2024-05-15T14:32:10Z",' + members + b"}"
    )


def _times(text, size, *, between=b","):
    return between.join([text] * (size // (len(text) + len(between))))


SMALL = 64 * 1024
LARGE = 16 * SMALL
LARGEST = 16 * 1024 * 1024
WORST = {
    "many members of one name": lambda size: _times(b'"b":1', size),
    "many members of two names": lambda size: _times(b'"b":1,"c":2', size),
    "many names": lambda size: b",".join(b'"%07d":1' % number for number in range(size // 12)),
    "many names, the last of them twice": lambda size: (
        b",".join(b'"%07d":1' % number for number in range(size // 12)) + b',"%07d":2' % (size // 12 - 1)
    ),
    "brackets": lambda size: b'"a":' + b"[" * (size // 2) + b"]" * (size // 2),
    "many small objects": lambda size: b'"a":[' + _times(b'{"b":1}', size) + b"]",
    "many participants": lambda size: b'"participants":[' + _times(b'{"role":"x"}', size) + b"]",
    "one long number": lambda size: b'"a":' + b"7" * size,
    "one long fraction": lambda size: b'"a":0.' + b"7" * size,
    "one long exponent": lambda size: b'"a":1e' + b"7" * size,
    "many numbers of 4,300 digits": lambda size: b'"a":[' + _times(b"7" * 4_300, size) + b"]",
    "many numbers of 4,301 digits": lambda size: b'"a":[' + _times(b"7" * 4_301, size) + b"]",
    "many short numbers": lambda size: b'"a":[' + _times(b"1.5", size) + b"]",
    "escaped NULs": lambda size: b'"message":"' + _times(b"\\u0000", size, between=b"") + b'"',
    "halves of surrogates": lambda size: b'"message":"' + _times(b"\\ud800", size, between=b"") + b'"',
    "backslashes and no end": lambda size: b'"a":"' + b"\\\\" * (size // 2),
    "many lines before a fault": lambda size: b'"a":[' + b"\n" * size,
    "a long timestamp": lambda size: b'"timestamp":"2024-05-15T14:32:10.' + b"0" * size + b'Z"',
}


@pytest.mark.parametrize("kind", WORST)
def test_reading_time_grows_linearly_with_the_size_of_the_body(kind):
    """A body 16 times as long takes 16 times as long to read, or 256 times if reading is quadratic."""
    small, large = (_least_seconds_for(_event_with(WORST[kind](size))) for size in (SMALL, LARGE))
    assert large / max(small, 0.002) < 160


def test_a_body_of_the_largest_size_is_read():
    body = _event_with(WORST["many members of one name"](LARGEST - 200))
    [event] = read_body(body, DriftNotes(), EVENT_TYPES)
    assert event.payload["b"] == 1


def _least_seconds_for(body):
    """Return the shortest CPU time of three runs: a busy machine can only make a run longer."""
    return min(_seconds_for(body) for _ in range(3))


def _seconds_for(body):
    started = time.thread_time()
    with suppress(RejectedEventError):
        read_body(body, DriftNotes(), EVENT_TYPES)
    return time.thread_time() - started
