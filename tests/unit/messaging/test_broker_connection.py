"""A close that the broker does not answer still ends."""

from pika import spec

from messaging.broker import connection as broker_connection
from messaging.broker import parameters_of
from tests.fakes.broker import FakeBroker, turn_until


def test_a_close_behind_an_unanswered_method_ends_the_connection(loop, monkeypatch):
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
