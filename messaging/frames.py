"""Build the frames of one publish, byte for byte what pika's `basic_publish` sends.

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
_CONTENT: Final = struct.Struct(">HHQ")
_END: Final = bytes((spec.FRAME_END,))
_OVERHEAD: Final = 8
"""Bytes of a frame around its payload."""


class PublishFrames:
    """The frames of publishes on one open channel.

    Args:
        channel_number: The channel's number.
        frame_max: The negotiated size of the largest frame, in bytes.
    """

    __slots__ = ("_body_max", "_channel_number", "_method")

    def __init__(self, channel_number: int, frame_max: int) -> None:
        publish = spec.Basic.Publish(exchange=EXCHANGE, routing_key=EVENT_ROUTING_KEY, mandatory=True)
        self._method = frame.Method(channel_number, publish).marshal()
        self._channel_number = channel_number
        self._body_max = frame_max - _OVERHEAD

    def of(self, properties: bytes, body: bytes) -> bytes:
        """Return the frames of one event, ready for the transport.

        Args:
            properties: As `messaging.envelope.encode_properties` returns them.
            body: Not empty.
        """
        number = self._channel_number
        size = len(body)
        header = _FRAME.pack(spec.FRAME_HEADER, number, _CONTENT.size + len(properties))
        content = _CONTENT.pack(spec.Basic.INDEX, 0, size)
        if size <= self._body_max:
            start = _FRAME.pack(spec.FRAME_BODY, number, size)
            return b"".join((self._method, header, content, properties, _END, start, body, _END))
        return b"".join((self._method, header, content, properties, _END, *self._chunks(body)))

    def _chunks(self, body: bytes) -> list[bytes]:
        chunks = []
        for start in range(0, len(body), self._body_max):
            chunk = body[start : start + self._body_max]
            chunks += [_FRAME.pack(spec.FRAME_BODY, self._channel_number, len(chunk)), chunk, _END]
        return chunks
