"""Publish messages with a header that pika cannot encode, as publishers written in other languages can."""

import struct

import pika

FLAGS = (
    pika.BasicProperties.FLAG_HEADERS
    | pika.BasicProperties.FLAG_DELIVERY_MODE
    | pika.BasicProperties.FLAG_MESSAGE_ID
)
NAME = b"x-sent"


class EncodedHeader(pika.BasicProperties):
    """Persistent properties with a message id and one header, whose value is already encoded."""

    def __init__(self, value: bytes, *, message_id: str = "") -> None:
        super().__init__(message_id=message_id)
        self._value = value

    def encode(self) -> list[bytes]:
        """Return the encoded flags and values, as pika's own method does."""
        table = bytes([len(NAME)]) + NAME + self._value
        identifier = self.message_id.encode()
        return [struct.pack(">HI", FLAGS, len(table)), table, b"\x02", bytes([len(identifier)]), identifier]


def nest(depth: int) -> bytes:
    """Return an encoded table with *depth* levels of nested tables."""
    value = b"V"
    for _ in range(depth):
        table = b"\x01t" + value
        value = b"F" + struct.pack(">I", len(table)) + table
    return value


UNREADABLE = {
    "milliseconds taken for seconds": b"T" + struct.pack(">Q", 1_764_000_000_000),
    "tables within tables": nest(2000),
}
"""Unreadable values, each with the name of its defect. RabbitMQ 4.0.5 itself refuses NaN and infinity."""
