import sys

import pytest

from messaging.errors import RejectedEventError
from workers.parsing.json_body import parse_body

MALFORMED = {
    "empty": (b"", "not_json", "body"),
    "bad UTF-8": (b'{"a":"\xff"}', "not_utf8", "byte 6"),
    "truncated": (b'{"a":', "not_json", "character 5"),
    "two documents": (b"{} {}", "not_json", "character 3"),
    "byte order mark": (b"\xef\xbb\xbf{}", "byte_order_mark", "byte order mark"),
    "NaN": (b'{"a":NaN}', "not_a_number", "NaN"),
    "Infinity": (b'{"a":-Infinity}', "not_a_number", "-Infinity"),
    "float out of range": (b'{"a":1e999}', "number_too_long", "out of range"),
    "100,000 brackets": (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "too_deep", "nested"),
    "10,000 digits": (b'{"a":' + b"7" * 10_000 + b"}", "number_too_long", "digits"),
    "duplicate key": (b'{"a":{"b":1,"c":2,"b":1}}', "duplicate_key", "b:"),
    "lone surrogate": (b'{"a":{"b":["x","\\ud800"]}}', "lone_surrogate", "a.b[1]"),
    "lone surrogate in a name": (b'{"\\uDC00":1}', "lone_surrogate", "?"),
    "NUL": (b'{"a":"x\\u0000y"}', "nul_character", "a:"),
    "bare NUL": (b'{"a":"x\x00y"}', "not_json", "character 7"),
    "list": (b"[{}]", "not_an_object", "object"),
    "text": (b'"{}"', "not_an_object", "object"),
    "null": (b"null", "not_an_object", "object"),
}


@pytest.mark.parametrize(("body", "code", "words"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_body_is_refused_with_a_stable_code_and_a_reason(body, code, words):
    with pytest.raises(RejectedEventError) as caught:
        parse_body(body)

    assert caught.value.code == code
    assert words in caught.value.reason


@pytest.mark.parametrize(("body", "code", "words"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_reason_can_be_stored_and_logged(body, code, words):
    with pytest.raises(RejectedEventError) as caught:
        parse_body(body)

    assert caught.value.reason.encode("utf-8").isascii()
    assert caught.value.reason.isprintable()


def test_a_refused_body_leaves_the_interpreter_usable():
    limit = sys.getrecursionlimit()

    for _ in range(3):
        with pytest.raises(RejectedEventError):
            parse_body(MALFORMED["100,000 brackets"][0])

    assert sys.getrecursionlimit() == limit
    assert parse_body(b'{"a":[[1]]}') == {"a": [[1]]}


@pytest.mark.parametrize(
    ("body", "parsed"),
    [
        (b'{"a":"\\ud83d\\udc4b"}', {"a": "\N{WAVING HAND SIGN}"}),
        ('{"a":"é"}'.encode(), {"a": "é"}),
        (b'{"a":"\\\\u0000"}', {"a": "\\u0000"}),
        (b'{"a":1.5,"b":12345678901234567890}', {"a": 1.5, "b": 12345678901234567890}),
    ],
)
def test_what_merely_looks_suspicious_is_accepted(body, parsed):
    assert parse_body(body) == parsed
