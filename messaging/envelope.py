"""Encode and decode an event as it passes through the broker: its raw body and its AMQP properties.

The properties are encoded here, once for both the journal and the broker. They always have the same fields,
and pika's general encoder would take longer than the rest of a request (docs/performance.md). The edge's
properties are decoded here too; pika decodes those of other publishers.
"""

import hashlib
import re
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, TypeGuard

from pika.spec import BasicProperties

WEBHOOK: Final = "webhook"
RECONCILE: Final = "reconcile"
REPLAY: Final = "replay"
INGEST: Final = "ingest"
OTHER: Final = "other"
"""Source of an event without our headers, published by another program."""

MIN_RECEIVED_US: Final = 946_684_800_000_000
"""Earliest accepted arrival time, the year 2000; the edge never writes an earlier time."""
MAX_RECEIVED_US: Final = 4_102_444_800_000_000
"""Latest accepted arrival time, the year 2100. psycopg can fail to read later times (e.g. nanoseconds)."""

REQUEST_ID_LENGTH: Final = 128
"""Longest request id. The edge truncates a longer id, because request ids serve only to search logs."""
CANARY: Final = "canary"
"""Source of the service's own test event (workers/observe/canary.py), which has no effect."""
CANARY_HEADER: Final = "x-open-messaging-canary"
"""Header that marks the request of a canary, so that the edge does not count the request as a webhook."""

_FLAGS: Final = struct.pack(
    ">H", BasicProperties.FLAG_HEADERS | BasicProperties.FLAG_DELIVERY_MODE | BasicProperties.FLAG_MESSAGE_ID
)
_PERSISTENT: Final = b"\x02"
_LONG: Final = struct.Struct(">I")


def _key(name: str, kind: bytes) -> bytes:
    """Return a header's name and type as they are encoded in a field table."""
    return bytes([len(name)]) + name.encode() + kind


_RECEIVED_AT: Final = _key("received-at-us", b"l")
_REQUEST_ID: Final = _key("request-id", b"S")
_SOURCE: Final = _key("source", b"S")
_FIXED: Final = struct.Struct(f">{len(_RECEIVED_AT)}sq{len(_REQUEST_ID)}sI")
_KEYS: Final = (_RECEIVED_AT, _REQUEST_ID, _SOURCE)
_START: Final = struct.Struct(f">{len(_FLAGS)}sI{_FIXED.format.removeprefix('>')}")
_LENGTHS: Final = [bytes((length,)) for length in range(256)]
_TABLE_AT: Final = len(_FLAGS) + _LONG.size
_REQUEST_AT: Final = _TABLE_AT + _FIXED.size


@dataclass(slots=True)
class Envelope:
    """An event as it passes through the broker. Treat it as immutable (decision 182).

    Args:
        message_id: Unique to each accepted request: the same in a redelivery, new in the platform's retry.
        received_at_us: When the edge received the event, in microseconds since the epoch, UTC; in a delivery,
            always between MIN_RECEIVED_US and MAX_RECEIVED_US.
        request_id: The `X-Request-ID` set by the proxy in front or, if there is none, the message id.
        source: WEBHOOK, RECONCILE, REPLAY, INGEST, CANARY, OTHER or a result of `replay_source`.
        body: The request's body, unchanged and undecoded.
    """

    message_id: str
    received_at_us: int
    request_id: str
    source: str
    body: bytes = field(repr=False)

    @property
    def identity(self) -> str:
        """The message id, or the body's digest if another publisher set no id or an unprintable one.

        The database might refuse the record of a dead letter whose id is not printable.
        """
        if self.message_id and self.message_id.isprintable():
            return self.message_id
        return hashlib.sha256(self.body).hexdigest()


_GENERATION: Final = re.compile(rf"{REPLAY}:([0-9a-f]{{1,32}})")


def replay_source(generation: str | None) -> str:
    """Return the source of a replayed event, which takes effect once for each hexadecimal *generation*.

    If *generation* is None, the event takes effect only if it has never taken effect before.
    """
    return REPLAY if generation is None else f"{REPLAY}:{generation}"


def generation_of(source: str) -> str | None:
    """Return the generation in a source that `replay_source` returned; None for any other source."""
    found = _GENERATION.fullmatch(source)
    return found[1] if found else None


def encode_properties(message_id: str, received_at_us: int, request_id: str, source: str) -> bytes:
    """Return the fields of an envelope, except its body, as encoded AMQP content properties.

    *message_id* has at most 255 bytes in UTF-8; *request_id* may have any length that fits into a frame.

    Source: AMQP 0-9-1, sections 4.2.5.5 (field tables) and 4.2.6.1 (content header).
    """
    identifier = message_id.encode()
    request = request_id.encode()
    size = len(request)
    origin, origin_bytes = _origin(source)
    table_bytes = _FIXED.size + size + origin_bytes
    start = _START.pack(_FLAGS, table_bytes, _RECEIVED_AT, received_at_us, _REQUEST_ID, size)
    return b"".join((start, request, origin, _LENGTHS[len(identifier)], identifier))


@lru_cache(maxsize=8)
def _origin(source: str) -> tuple[bytes, int]:
    """Return the encoded bytes between the two ids, and how many of them belong to the field table."""
    value = source.encode()
    entry = _SOURCE + _LONG.pack(len(value)) + value
    return entry + _PERSISTENT, len(entry)


def decode_properties(properties: bytes) -> BasicProperties:
    """Decode any publisher's content properties, using pika."""
    decoded = BasicProperties()
    decoded.decode(properties)
    return decoded


def own_envelope(properties: bytes, body: bytes) -> Envelope | None:
    """Parse properties in exactly the form that `encode_properties` writes.

    Return None for other properties, for example if the broker added a header or the time is out of range.
    """
    if not properties.startswith(_FLAGS):
        return None
    try:
        table_end = _TABLE_AT + _LONG.unpack_from(properties, len(_FLAGS))[0]
        key, received_at_us, request_key, size = _FIXED.unpack_from(properties, _TABLE_AT)
        request_end = _REQUEST_AT + size
        source_at = request_end + len(_SOURCE) + _LONG.size
        if (key, request_key, properties[request_end : request_end + len(_SOURCE)]) != _KEYS:
            return None
        source_end = source_at + _LONG.unpack_from(properties, source_at - _LONG.size)[0]
        if source_end != table_end or not MIN_RECEIVED_US <= received_at_us <= MAX_RECEIVED_US:
            return None
        message_id_at = table_end + len(_PERSISTENT) + 1
        if properties[message_id_at - 1] != len(properties) - message_id_at:
            return None
        message_id = properties[message_id_at:].decode()
        request_id = properties[_REQUEST_AT:request_end].decode()
        source = properties[source_at:table_end].decode()
    except (struct.error, IndexError, UnicodeDecodeError):
        return None
    return Envelope(message_id, received_at_us, request_id, source, body)


def envelope_of(properties: BasicProperties, body: bytes) -> Envelope:
    """Return the envelope of any delivery.

    A delivery without our headers is still an event, and its body decides what happens to it. Its source is
    OTHER. A missing or unreadable time is replaced by the current time, so later stages can read it.
    """
    headers: Mapping[str, object] = properties.headers or {}
    message_id = str(properties.message_id or "")
    received_at_us = headers.get("received-at-us")
    return Envelope(
        message_id=message_id,
        received_at_us=received_at_us if _is_readable(received_at_us) else time.time_ns() // 1000,
        request_id=str(headers.get("request-id") or message_id),
        source=str(headers.get("source") or OTHER),
        body=body,
    )


def _is_readable(received_at_us: object) -> TypeGuard[int]:
    return isinstance(received_at_us, int) and MIN_RECEIVED_US <= received_at_us <= MAX_RECEIVED_US
