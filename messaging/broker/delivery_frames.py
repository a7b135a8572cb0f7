"""Read deliveries straight from what the broker sends; everything else is left to pika.

pika makes three frame objects of a delivery, copies what is left of its buffer after each, and passes each
through its callbacks: half of what an event costs a worker (docs/performance.md). A whole delivery with its
body in one frame, which nearly all are, is read here with three `struct` calls instead.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pika import spec

if TYPE_CHECKING:
    from collections.abc import Mapping

Receiver = Callable[[int, bytes, bytes], None]
"""Takes a delivery tag, the content properties (flags and values, encoded) and the body."""

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


class DeliveryReader:
    """Reads the deliveries of one channel.

    Args:
        channel_number: The channel's number.
        receivers: By consumer tag, who takes its deliveries. A consumer that is taken out of it, as one is
            before it is cancelled, is pika's from then on.
    """

    __slots__ = ("_deliver", "_receivers")

    def __init__(self, channel_number: int, receivers: Mapping[bytes, Receiver]) -> None:
        self._deliver = (spec.FRAME_METHOD, channel_number, _DELIVER)
        self._receivers = receivers

    def read(self, data: bytes) -> tuple[int, bool]:
        """Hand over the whole deliveries that *data* starts with.

        Returns:
            How many bytes they took, and whether a delivery follows that is not whole yet. Otherwise pika
            reads the next frame, if there is one: another method, a heartbeat, a body in several frames.
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
        """Return the delivery at *start* and where it ends, or None where pika must read.

        Raises:
            struct.error, IndexError: The data end within the delivery.
        """
        if len(data) - start < _METHOD.size:
            # A heartbeat, or too little to tell; pika knows.
            return None
        kind, channel_number, size, method, tag_length = _METHOD.unpack_from(data, start)
        tag = start + _METHOD.size
        receiver = self._receivers.get(data[tag : tag + tag_length])
        if (kind, channel_number, method) != self._deliver or receiver is None:
            return None
        # From here on it is a delivery of ours, and where the data end it is not whole.
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
