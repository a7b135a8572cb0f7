"""A connection that is being closed ends even if the broker does not answer."""

import struct

import pytest
from pika import data, spec

from messaging.broker import connection as broker_connection
from messaging.broker import parameters_of
from tests.fakes.broker import FakeBroker, turn_until


def test_closing_a_connection_ends_it_even_if_a_method_is_unanswered(loop, monkeypatch):
    monkeypatch.setattr(broker_connection, "CLOSE_SECONDS", 0.02)
    broker, opened, closed = FakeBroker(), [], []
    (parameters,) = parameters_of(("amqp://127.0.0.1:9/",), client_name="test")
    connection = broker.connect(
        parameters,
        on_open_callback=lambda connection: connection.channel(on_open_callback=opened.append),
        on_close_callback=lambda _connection, reason: closed.append(reason),
        custom_ioloop=loop,
    )
    turn_until(loop, lambda: opened)
    broker.unanswered.add(spec.Queue.Declare)
    opened[0].queue_declare("events", passive=True, callback=closed.append)
    connection.close()
    turn_until(loop, lambda: closed)
    assert not broker.open_links()
    assert connection.is_closed


def nested_table(depth, tables, leaf):
    """Return an encoded table with *depth* nested values, of which the outermost *tables* are tables too."""
    value = leaf
    for level in range(depth):
        value = b"A" + struct.pack(">I", len(value)) + value
        if level >= depth - tables:
            value = b"F" + struct.pack(">I", len(value) + 2) + b"\x01n" + value
    table = b"\x01n" + value
    return struct.pack(">I", len(table)) + table


@pytest.mark.parametrize(
    "leaf", [b"I\x7f\x00\x00\x00", b"t\x01", b"l" + b"\x7f" * 8, b"V", b"D\x02\x7f\x00\x00\x00"]
)
def test_the_end_of_a_nested_table_is_found_at_every_depth(leaf):
    for depth in range(400, 600):
        for tables in range(3):
            encoded = nested_table(depth, tables, leaf)
            _, end = data.decode_table(encoded + b"behind", 0)
            assert end == len(encoded), (depth, tables)
