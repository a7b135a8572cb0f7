"""Peeking leaves a queue unchanged."""

from messaging import topology
from messaging.admin import broker_session, peek, set_up


def test_each_call_of_peek_returns_all_messages_in_order(vhost):
    bodies = [b"message %d" % number for number in range(30)]
    with broker_session((vhost.amqp_url,), client_name="test") as connection:
        set_up(connection)
        channel = connection.channel()
        channel.confirm_delivery()
        for body in bodies:
            channel.basic_publish("", topology.DEAD_LETTERS, body)
        for _ in range(30):
            assert list(peek(connection, topology.DEAD_LETTERS)) == bodies
