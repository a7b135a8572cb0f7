"""Simulate a conversation's clock, encode its events as bodies, and make some bodies malformed."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

Payload = dict[str, Any]

MIN_STEP_MS: Final = 40
MAX_STEP_MS: Final = 4_000
"""Range of the time between two events: sometimes less than the settling window of 2 s, sometimes more."""


@dataclass(frozen=True, slots=True)
class Post:
    """One body to post. All bodies of one event have the event's number."""

    event: int | None  # None if the body is malformed
    kind: str  # a short word for tables; "malformed:…" if the body is malformed
    body: bytes


def describe(payload: Payload) -> str:
    """Return the kind of a body as a short word for tables."""
    if "eventType" in payload:
        return str(payload["eventType"]).rpartition(":")[2]
    return {"Event": "typing", "Receipt": "receipt"}.get(payload["type"], "message")


def compact(payload: Payload) -> bytes:
    """Encode *payload* as the platform does: compact UTF-8 JSON without unnecessary escapes."""
    return json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode()


def platform_timestamp(moment: datetime) -> str:
    """Format an aware time like the times in published webhook bodies: 2025-06-10T21:03:05.427Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(slots=True)
class ConversationClock:
    """The clock of one conversation. It advances with each event, except when two events collide."""

    rng: random.Random
    now: datetime
    collision_share: float

    def advance(self) -> str:
        """Let some time pass and return the next event's timestamp."""
        self.now += timedelta(milliseconds=self.rng.randint(MIN_STEP_MS, MAX_STEP_MS))
        return platform_timestamp(self.now)

    def advance_or_collide(self) -> str:
        """Return the previous event's timestamp for a share of the events, otherwise a new timestamp."""
        if self.rng.random() < self.collision_share:
            return platform_timestamp(self.now)
        return self.advance()


NESTING_DEPTH: Final = 100_000
NUMBER_DIGITS: Final = 10_000
"""These numbers far exceed the limits of Python's parser, but the bodies are within the edge's size limit."""

# Set only these fields to null: every additional name would leave another permanent drift record.
OPTIONAL_FIELDS: Final = ("participants", "metadata", "originatingEntity", "isFinalReceipt", "attributes")


def _without(field: str) -> Callable[[Payload], bytes]:
    return lambda payload: compact({name: value for name, value in payload.items() if name != field})


def _with(field: str, value: object) -> Callable[[Payload], bytes]:
    return lambda payload: compact({**payload, field: value})


def _with_raw_value(raw: bytes, name: str = "appended") -> Callable[[Payload], bytes]:
    """Return a function that appends a member with a raw value. If a name repeats, the last member counts."""
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
"""For each kind of malformed body, a function that makes it from a well-formed payload of the guide."""


def add_unknown_fields(rng: random.Random, payload: Payload) -> Payload:
    """Return *payload* with an unknown field, and sometimes a nested one, a null or an unknown enum value."""
    changed = {**payload, "simulatedNewField": {"since": "next release", "values": [1, 2.5, None, True]}}
    if rng.random() < 0.5:
        changed["channel"] = {**payload["channel"], "simulatedNewChannelField": "next release"}
    for name in OPTIONAL_FIELDS:
        if name in payload and rng.random() < 0.5:
            changed[name] = None
    if "routing" in payload and rng.random() < 0.2:  # rarely: most transitions must still count
        changed["routing"] = {**payload["routing"], "status": "CONTACT-TELEPORTED"}
    return changed
