"""Encode and decode an event as it crosses the broker: its raw bytes, with time and source as properties.

The properties are encoded here, once per event for both the journal and the wire: they always have the same
three fields, and pika's general encoder costs more than the rest of a request (docs/performance.md). The
edge's properties are decoded here too; pika decodes those of other publishers.
"""

import hashlib
import re
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeGuard

from pika.spec import BasicProperties

WEBHOOK: Final = "webhook"
RECONCILE: Final = "reconcile"
REPLAY: Final = "replay"
INGEST: Final = "ingest"
OTHER: Final = "other"
"""An event of another publisher, without our headers."""

MIN_RECEIVED_US: Final = 946_684_800_000_000
"""The year 2000. The edge never writes an earlier time."""
MAX_RECEIVED_US: Final = 4_102_444_800_000_000
"""The year 2100. Later times, such as nanoseconds taken for microseconds, may be unreadable to psycopg."""

REQUEST_ID_LENGTH: Final = 128
"""The edge truncates a longer request id, because it only serves to search logs."""
CANARY: Final = "canary"
"""Source of our own test event (workers/observe/canary.py), which takes no effect."""
CANARY_HEADER: Final = "x-open-messaging-canary"
"""Header that marks a canary's request, so that the edge does not count it as a webhook."""

_FLAGS: Final = struct.pack(
    ">H", BasicProperties.FLAG_HEADERS | BasicProperties.FLAG_DELIVERY_MODE | BasicProperties.FLAG_MESSAGE_ID
)
_PERSISTENT: Final = b"\x02"
_LONG: Final = struct.Struct(">I")


def _key(name: str, kind: bytes) -> bytes:
    """Encode a header's name and type for a field table."""
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
    """One event as it crosses the broker; treat it as immutable (decision 182).

    Args:
        message_id: Unique per accepted request; a redelivery keeps it, a retry of the platform does not.
        received_at_us: When the edge had read it, microseconds since the epoch, UTC; of a delivery always
            within MIN_RECEIVED_US and MAX_RECEIVED_US.
        request_id: The `X-Request-ID` of the proxy in front, else the message id.
        source: WEBHOOK, RECONCILE, REPLAY, INGEST, CANARY, OTHER or what `replay_source` returns.
        body: The request's body, untouched and undecoded.
    """

    message_id: str
    received_at_us: int
    request_id: str
    source: str
    body: bytes

    @property
    def identity(self) -> str:
        """The accepted request's id, or the body's digest if another publisher's id cannot be stored.

        The database must never refuse the record of a dead letter.
        """
        if self.message_id and self.message_id.isprintable():
            return self.message_id
        return hashlib.sha256(self.body).hexdigest()


_GENERATION: Final = re.compile(rf"{REPLAY}:([0-9a-f]{{1,32}})")


def replay_source(generation: str | None) -> str:
    """Return the source of a replayed event, which takes effect once for each hexadecimal *generation*.

    With None, the event takes effect only if it never did before.
    """
    return REPLAY if generation is None else f"{REPLAY}:{generation}"


def generation_of(source: str) -> str | None:
    """Return the generation in a source of `replay_source`; None of any other source."""
    found = _GENERATION.fullmatch(source)
    return found[1] if found else None


def encode_properties(message_id: str, received_at_us: int, request_id: str, source: str) -> bytes:
    """Encode an envelope without its body as AMQP content properties: flags and values.

    *message_id* has at most 255 bytes in UTF-8; *request_id* may have any length that fits into a frame.

    Source:
        AMQP 0-9-1, sections 4.2.5.5 (field tables) and 4.2.6.1 (content header).
    """
    identifier = message_id.encode()
    request = request_id.encode()
    size = len(request)
    origin, origin_bytes = _origin(source)
    start = _START.pack(
        _FLAGS, _FIXED.size + size + origin_bytes, _RECEIVED_AT, received_at_us, _REQUEST_ID, size
    )
    return b"".join((start, request, origin, _LENGTHS[len(identifier)], identifier))


@lru_cache(maxsize=8)
def _origin(source: str) -> tuple[bytes, int]:
    """Return the bytes between request id and message id, and how many of them are in the field table."""
    value = source.encode()
    entry = _SOURCE + _LONG.pack(len(value)) + value
    return entry + _PERSISTENT, len(entry)


def decode_properties(properties: bytes) -> BasicProperties:
    """Decode content properties of any publisher, by pika."""
    decoded = BasicProperties()
    decoded.decode(properties)
    return decoded


def own_envelope(properties: bytes, body: bytes) -> Envelope | None:
    """Parse properties exactly as `encode_properties` wrote them.

    Return None for other properties, such as those with a header of the broker or an unreadable time.
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
    """Read the envelope of any delivery.

    A delivery without our headers is still an event, and its body decides what happens to it. Its time is
    now, and its source OTHER. Later stages never receive a time that they cannot read.
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
