"""Encode publishes and parse deliveries without pika's frame objects; pika handles everything else.

pika makes three frame objects of a delivery, copies the rest of its buffer after each, and passes each
through its callbacks: half of what an event costs a worker (docs/performance.md). A whole delivery with its
body in one frame, as nearly all are, is parsed here with three `struct` calls. A publish is encoded byte for
byte as pika's `basic_publish` does; the frame of its exchange, routing key and flags only once.
"""

import struct
from collections.abc import Callable, Mapping
from typing import Final

from pika import frame, spec

from messaging.topology import EVENT_ROUTING_KEY, EXCHANGE

Receiver = Callable[[int, bytes, bytes], None]
"""Called with a delivery tag, the content properties (flags and values, encoded) and the body."""

_METHOD: Final = struct.Struct(">BHI4sB")
"""Frame type, channel, size; class and method, length of the consumer tag."""
_HEADER: Final = struct.Struct(">BBHIHHQ")
"""End of the method frame; frame type, channel, size; class, weight, body size."""
_BODY: Final = struct.Struct(">BBHI")
"""End of the header frame; frame type, channel, size."""
_DELIVERY_TAG: Final = struct.Struct(">Q")

_DELIVER: Final = struct.pack(">I", spec.Basic.Deliver.INDEX)
_FRAME_START: Final = 7
"""Bytes of a frame before its payload: type, channel, size."""

_FRAME: Final = struct.Struct(">BHI")
_CONTENT: Final = struct.Struct(">BHIHHQ")
"""A header frame up to its properties: type, channel, length; class, weight, size of the body."""

_CONTENT_BYTES: Final = 12
_HEADER_TYPE: Final = spec.FRAME_HEADER
_BODY_TYPE: Final = spec.FRAME_BODY
_BASIC: Final = spec.Basic.INDEX
_END: Final = bytes((spec.FRAME_END,))
_OVERHEAD: Final = 8
"""Bytes of a frame around its payload."""


class DeliveryReader:
    """Parses the deliveries of one channel.

    *receivers* has them by consumer tag; the deliveries of any other consumer are left to pika.
    """

    __slots__ = ("_deliver", "_receivers")

    def __init__(self, channel_number: int, receivers: Mapping[bytes, Receiver]) -> None:
        self._deliver = (spec.FRAME_METHOD, channel_number, _DELIVER)
        self._receivers = receivers

    def read(self, data: bytes) -> tuple[int, bool]:
        """Pass the whole deliveries at the start of *data* to their receivers.

        Return their bytes, and whether an incomplete delivery follows. Otherwise pika reads the next frame,
        if there is one: another method, a heartbeat, a body in several frames.
        """
        start = 0
        while True:
            try:
                found = self._find(data, start)
            except (struct.error, IndexError):
                return start, True
            if found is None:
                return start, False
            receiver, delivery_tag, properties, body, start = found
            receiver(delivery_tag, properties, body)

    def _find(self, data: bytes, start: int) -> tuple[Receiver, int, bytes, bytes, int] | None:
        """Return the delivery at *start* and its end, or None if pika must read.

        Raises struct.error or IndexError if the data end within the delivery.
        """
        if len(data) - start < _METHOD.size:
            # A heartbeat, or an incomplete frame; left to pika.
            return None
        kind, channel_number, size, method, tag_length = _METHOD.unpack_from(data, start)
        tag = start + _METHOD.size
        receiver = self._receivers.get(data[tag : tag + tag_length])
        if (kind, channel_number, method) != self._deliver or receiver is None:
            return None
        # From here on it is a delivery of ours, incomplete if the data end.
        header = start + _FRAME_START + size
        method_end, kind, _, size, _, _, body_size = _HEADER.unpack_from(data, header)
        if method_end != spec.FRAME_END or kind != spec.FRAME_HEADER or not body_size:
            return None
        properties = header + _HEADER.size
        properties_end = header + 1 + _FRAME_START + size
        header_end, kind, _, size = _BODY.unpack_from(data, properties_end)
        if header_end != spec.FRAME_END or kind != spec.FRAME_BODY or size != body_size:
            return None
        body = properties_end + _BODY.size
        end = body + size
        if data[end] != spec.FRAME_END:
            return None
        (delivery_tag,) = _DELIVERY_TAG.unpack_from(data, tag + tag_length)
        return receiver, delivery_tag, data[properties:properties_end], data[body:end], end + 1


class PublishFrames:
    """The frames of publishes on one open channel, collected for one write.

    `events`: publishes added since the last `take`. *frame_max*: negotiated bytes of the largest frame.
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
        """Add one event: properties as `encode_properties` returns them, and a body that is not empty."""
        number = self._channel_number
        size = len(body)
        header = _CONTENT.pack(_HEADER_TYPE, number, _CONTENT_BYTES + len(properties), _BASIC, 0, size)
        if size <= self._body_max:
            start = _FRAME.pack(_BODY_TYPE, number, size)
            self._parts += (self._method, header, properties, _END, start, body, _END)
        else:
            self._parts += (self._method, header, properties, _END, *self._split(body))
        self.events += 1

    def take(self) -> tuple[int, bytes]:
        """Return the number of events added since the last call, and their frames."""
        events, self.events = self.events, 0
        parts, self._parts = self._parts, []
        return events, b"".join(parts)

    def _split(self, body: bytes) -> list[bytes]:
        chunks = []
        for start in range(0, len(body), self._body_max):
            chunk = body[start : start + self._body_max]
            chunks += [_FRAME.pack(_BODY_TYPE, self._channel_number, len(chunk)), chunk, _END]
        return chunks
