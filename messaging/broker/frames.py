"""Encode publishes and parse deliveries without pika's frame objects; pika handles all other frames.

pika makes three frame objects for a delivery, copies the rest of its buffer after each frame, and passes each
frame through its callbacks. That takes half of a worker's time per event (docs/performance.md). Nearly all
deliveries arrive whole, with the body in one frame; they are parsed here with three `struct` calls. A publish
is encoded as in pika's `basic_publish`, but its first frame, which is always the same, is encoded only once.
"""

import struct
from collections.abc import Callable, Mapping
from typing import Final

from pika import frame, spec
from pika.spec import FRAME_BODY, FRAME_HEADER

from messaging.topology import EVENT_ROUTING_KEY, EXCHANGE

Receiver = Callable[[int, bytes, bytes], None]
"""A function that is called with a delivery's tag, its encoded content properties and its body."""

_METHOD: Final = struct.Struct(">BHI4sB")
"""Start of a delivery's method frame: type, channel, size; class and method, length of the consumer tag."""
_HEADER: Final = struct.Struct(">BBHIHHQ")
"""End of the method frame, and start of the header frame: type, channel, size; class, weight, body size."""
_BODY: Final = struct.Struct(">BBHI")
"""End of the header frame, and start of the body frame: type, channel, size."""
_DELIVERY_TAG: Final = struct.Struct(">Q")

_DELIVER: Final = struct.pack(">I", spec.Basic.Deliver.INDEX)
_FRAME_START: Final = 7
"""Number of bytes in a frame before its payload: type, channel, size."""

_FRAME: Final = struct.Struct(">BHI")
_CONTENT: Final = struct.Struct(">BHIHHQ")
"""Start of a header frame, up to its properties: type, channel, length; class, weight, size of the body."""

_CONTENT_BYTES: Final = 12
_BASIC: Final = spec.Basic.INDEX
_END: Final = bytes((spec.FRAME_END,))
_OVERHEAD: Final = 8
"""Number of bytes in a frame that are not its payload."""


class DeliveryReader:
    """Parses one channel's deliveries to the consumers in *receivers*; pika reads all other deliveries."""

    __slots__ = ("_deliver", "_receivers")

    def __init__(self, channel_number: int, receivers: Mapping[bytes, Receiver]) -> None:
        self._deliver = (spec.FRAME_METHOD, channel_number, _DELIVER)
        self._receivers = receivers

    def read(self, data: bytes) -> tuple[int, bool]:
        """Pass the complete deliveries at the start of *data* to their receivers.

        Return their total size, and whether an incomplete delivery follows them. If none follows, pika must
        read the next frame: another method, a heartbeat, or a delivery whose body has several frames.
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
        """Return the delivery at *start* and its end, or None if pika must read the frame there.

        Raises struct.error or IndexError if *data* ends within the delivery.
        """
        if len(data) - start < _METHOD.size:
            # Leave a heartbeat or an incomplete frame to pika.
            return None
        kind, channel_number, size, method, tag_length = _METHOD.unpack_from(data, start)
        tag = start + _METHOD.size
        receiver = self._receivers.get(data[tag : tag + tag_length])
        if (kind, channel_number, method) != self._deliver or receiver is None:
            return None
        # This is a delivery to one of our consumers. From here on, missing data means that it is incomplete.
        header = start + _FRAME_START + size
        method_end, kind, _, size, _, _, body_size = _HEADER.unpack_from(data, header)
        if method_end != spec.FRAME_END or kind != FRAME_HEADER or not body_size:
            return None
        properties = header + _HEADER.size
        properties_end = header + 1 + _FRAME_START + size
        header_end, kind, _, size = _BODY.unpack_from(data, properties_end)
        if header_end != spec.FRAME_END or kind != FRAME_BODY or size != body_size:
            return None
        body = properties_end + _BODY.size
        end = body + size
        if data[end] != spec.FRAME_END:
            return None
        (delivery_tag,) = _DELIVERY_TAG.unpack_from(data, tag + tag_length)
        return receiver, delivery_tag, data[properties:properties_end], data[body:end], end + 1


class PublishFrames:
    """Collects the frames of publishes on one open channel, to send them with one write.

    `events` counts the publishes since the last `take`. *frame_max* is the negotiated frame limit in bytes.
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
        """Add an event: properties as `encode_properties` returns them, and a non-empty body."""
        number = self._channel_number
        size = len(body)
        header = _CONTENT.pack(FRAME_HEADER, number, _CONTENT_BYTES + len(properties), _BASIC, 0, size)
        if size <= self._body_max:
            start = _FRAME.pack(FRAME_BODY, number, size)
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
            chunks += [_FRAME.pack(FRAME_BODY, self._channel_number, len(chunk)), chunk, _END]
        return chunks
