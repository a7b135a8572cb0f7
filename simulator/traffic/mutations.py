"""Change a body: make it malformed, or extend it as a newer platform would.

The names of unknown fields are few and fixed, because each new name leaves a permanent drift record.
"""

import random
from collections.abc import Callable
from typing import Final

from simulator.traffic.event import Payload, compact

NESTING_DEPTH: Final = 100_000
NUMBER_DIGITS: Final = 10_000
"""Both far beyond the limits of Python's own parser; the body stays under the edge's size limit."""

OPTIONAL_FIELDS: Final = ("participants", "metadata", "originatingEntity", "isFinalReceipt", "attributes")


def _without(field: str) -> Callable[[Payload], bytes]:
    return lambda payload: compact({name: value for name, value in payload.items() if name != field})


def _with(field: str, value: object) -> Callable[[Payload], bytes]:
    return lambda payload: compact({**payload, field: value})


def _with_raw_value(raw: bytes, name: str = "appended") -> Callable[[Payload], bytes]:
    """Append a member with a raw value; of two members with the same name the last one counts."""
    return lambda payload: compact(payload)[:-1] + f',"{name}":'.encode() + raw + b"}"


SPOILERS: Final[dict[str, Callable[[Payload], bytes]]] = {
    "bad-utf8": lambda payload: compact(payload)[:-2] + b'\xff\xfe"}',
    "truncated": lambda payload: compact(payload)[:-9],
    "byte-order-mark": lambda payload: b"\xef\xbb\xbf" + compact(payload),
    "nan": _with_raw_value(b"NaN"),
    "deep-nesting": _with_raw_value(b"[" * NESTING_DEPTH + b"]" * NESTING_DEPTH),
    "huge-number": _with_raw_value(b"7" * NUMBER_DIGITS, "timestamp"),
    "duplicate-keys": _with_raw_value(b"1", "timestamp"),
    "lone-surrogate": _with_raw_value(b'"\\ud800"', "conversationId"),
    "nul-character": _with_raw_value(b'"a\\u0000b"', "conversationId"),
    "not-an-object": lambda payload: b"[" + compact(payload) + b"]",
    "conversation-id-missing": _without("conversationId"),
    "conversation-id-wrong-type": _with("conversationId", 42),
    "timestamp-missing": _without("timestamp"),
    "timestamp-wrong-type": _with("timestamp", ["yesterday"]),
    "timestamp-no-time": _with("timestamp", "yesterday at noon"),
    "event-type-unknown": _with("eventType", "openmessaging:conversation:exploded"),
}
"""Each kind of malformed body, made from a well-formed payload of the guide's envelope."""


def add_unknown_fields(rng: random.Random, payload: Payload) -> Payload:
    """Return *payload* with an unknown field, and sometimes a nested one, a null or an unknown enum value."""
    changed = {**payload, "simulatedNewField": {"since": "next release", "values": [1, 2.5, None, True]}}
    if rng.random() < 0.5:
        changed["channel"] = {**payload["channel"], "simulatedNewChannelField": "next release"}
    for name in OPTIONAL_FIELDS:
        if name in payload and rng.random() < 0.5:
            changed[name] = None
    if "routing" in payload and rng.random() < 0.2:  # most transitions must still count
        changed["routing"] = {**payload["routing"], "status": "CONTACT-TELEPORTED"}
    return changed


def is_identified(payload: Payload) -> bool:
    """Return whether an id or a number identifies the event, whatever else the payload holds."""
    return bool({"id", "sequence"} & payload.keys()) or "id" in payload.get("message", {})


def mark_redelivery(payload: Payload) -> Payload:
    """Return *payload* with a field that marks a redelivery: different bytes, the same event."""
    return {**payload, "simulatedRedelivery": True}
