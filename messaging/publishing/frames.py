"""Build the frames of publishes, byte for byte what pika's `basic_publish` sends.

Exchange, routing key and flags never change, so their frame is marshalled once; what remains is two
headers and a copy. pika's own way through `Channel.basic_publish` marshals three frame objects per event
and hands each to the transport by itself.
"""

from __future__ import annotations

import struct
from typing import Final

from pika import frame, spec

from messaging.topology import EVENT_ROUTING_KEY, EXCHANGE

_FRAME: Final = struct.Struct(">BHI")
_HEADER: Final = struct.Struct(">BHIHHQ")
"""A header frame up to its properties: type, channel, length; class, weight, size of the body."""

_CONTENT_BYTES: Final = 12
_HEADER_TYPE: Final = spec.FRAME_HEADER
_BODY_TYPE: Final = spec.FRAME_BODY
_BASIC: Final = spec.Basic.INDEX
_END: Final = bytes((spec.FRAME_END,))
_OVERHEAD: Final = 8
"""Bytes of a frame around its payload."""


class PublishFrames:
    """The frames of publishes on one open channel, gathered for one write.

    `events` is how many publishes were added since the last `take`.

    Args:
        channel_number: The channel's number.
        frame_max: The negotiated size of the largest frame, in bytes.
    """

    __slots__ = ("_body_max", "_channel_number", "_method", "_parts", "events")

    def __init__(self, channel_number: int, frame_max: int) -> None:
        publish = spec.Basic.Publish(exchange=EXCHANGE, routing_key=EVENT_ROUTING_KEY, mandatory=True)
        self._method = frame.Method(channel_number, publish).marshal()
        self._channel_number = channel_number
        self._body_max = frame_max - _OVERHEAD
        self._parts: list[bytes] = []
        self.events = 0

    def add(self, properties: bytes, body: bytes) -> None:
        """Add the frames of one event.

        Args:
            properties: As `messaging.envelope.encode_properties` returns them.
            body: Not empty.
        """
        number = self._channel_number
        size = len(body)
        header = _HEADER.pack(_HEADER_TYPE, number, _CONTENT_BYTES + len(properties), _BASIC, 0, size)
        if size <= self._body_max:
            start = _FRAME.pack(_BODY_TYPE, number, size)
            self._parts += (self._method, header, properties, _END, start, body, _END)
        else:
            self._parts += (self._method, header, properties, _END, *self._chunks(body))
        self.events += 1

    def take(self) -> tuple[int, bytes]:
        """Return how many events were added since the last call, and their frames."""
        events, self.events = self.events, 0
        parts, self._parts = self._parts, []
        return events, b"".join(parts)

    def _chunks(self, body: bytes) -> list[bytes]:
        chunks = []
        for start in range(0, len(body), self._body_max):
            chunk = body[start : start + self._body_max]
            chunks += [_FRAME.pack(_BODY_TYPE, self._channel_number, len(chunk)), chunk, _END]
        return chunks
