"""Spoil an event's body in every way that a worker must survive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from simulator.traffic.event import Payload, compact

if TYPE_CHECKING:
    from collections.abc import Callable

NESTING_DEPTH: Final = 100_000
NUMBER_DIGITS: Final = 10_000
"""Both far above where Python's own parser gives up; the body stays under the edge's size limit."""


def _without(field: str) -> Callable[[Payload], bytes]:
    return lambda payload: compact({name: value for name, value in payload.items() if name != field})


def _with(field: str, value: object) -> Callable[[Payload], bytes]:
    return lambda payload: compact({**payload, field: value})


def _with_raw_value(raw: bytes, name: str = "appended") -> Callable[[Payload], bytes]:
    """Append a member whose value is written as it stands; of two with one name the last counts."""
    return lambda payload: compact(payload)[:-1] + f',"{name}":'.encode() + raw + b"}"


def _bad_utf8(payload: Payload) -> bytes:
    return compact(payload)[:-2] + b'\xff\xfe"}'


def _truncated(payload: Payload) -> bytes:
    return compact(payload)[:-9]


def _byte_order_mark(payload: Payload) -> bytes:
    return b"\xef\xbb\xbf" + compact(payload)


def _not_an_object(payload: Payload) -> bytes:
    return b"[" + compact(payload) + b"]"


SPOILERS: Final[dict[str, Callable[[Payload], bytes]]] = {
    "bad-utf8": _bad_utf8,
    "truncated": _truncated,
    "byte-order-mark": _byte_order_mark,
    "nan": _with_raw_value(b"NaN"),
    "deep-nesting": _with_raw_value(b"[" * NESTING_DEPTH + b"]" * NESTING_DEPTH),
    "huge-number": _with_raw_value(b"7" * NUMBER_DIGITS, "timestamp"),
    "duplicate-keys": _with_raw_value(b"1", "timestamp"),
    "lone-surrogate": _with_raw_value(b'"\\ud800"', "conversationId"),
    "nul-character": _with_raw_value(b'"a\\u0000b"', "conversationId"),
    "not-an-object": _not_an_object,
    "conversation-id-missing": _without("conversationId"),
    "conversation-id-wrong-type": _with("conversationId", 42),
    "timestamp-missing": _without("timestamp"),
    "timestamp-wrong-type": _with("timestamp", ["yesterday"]),
    "timestamp-no-time": _with("timestamp", "yesterday at noon"),
    "event-type-unknown": _with("eventType", "openmessaging:conversation:exploded"),
}
"""Each kind of malformed body, made from a well-formed payload of the guide's envelope."""
