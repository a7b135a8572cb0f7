"""The fast reader of deliveries reads the same deliveries as pika."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pika import frame, spec
from pika.spec import BasicProperties

from messaging.broker import DeliveryReader
from messaging.envelope import encode_properties

CHANNEL = 1
TAG = b"ctag1.events"
PROPERTIES = encode_properties("m-1", 1_732_462_000_123_456, "r-1", "webhook")
HEARTBEAT = frame.Heartbeat().marshal()
ACK = frame.Method(CHANNEL, spec.Basic.QosOk()).marshal()


def delivery(tag, body, *, consumer=TAG, channel=CHANNEL, chunk=100_000, routing_key="event"):
    decoded = BasicProperties()
    decoded.decode(PROPERTIES)
    method = spec.Basic.Deliver(consumer.decode(), tag, False, "open-messaging", routing_key)
    frames = [frame.Method(channel, method).marshal(), frame.Header(channel, len(body), decoded).marshal()]
    frames += [
        frame.Body(channel, body[start : start + chunk]).marshal() for start in range(0, len(body), chunk)
    ]
    return b"".join(frames)


@dataclass
class Broker:
    """Keeps the deliveries that our reader returned and the frames that it left to pika, in order."""

    received: list = field(default_factory=list)
    left_to_pika: list = field(default_factory=list)

    def send(self, stream, cuts=()):
        reader = DeliveryReader(CHANNEL, {TAG: lambda *delivery: self.received.append(delivery)})
        data = b""
        for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
            data = self._read(reader, data + stream[start:end])
        return data

    def _read(self, reader, data):
        """Let our reader and pika read in turn, as messaging.broker.connection.BrokerConnection does."""
        while True:
            consumed, is_waiting = reader.read(data)
            data = data[consumed:]
            if is_waiting:
                return data
            consumed, value = frame.decode_frame(data) if data else (0, None)
            if not value:
                return data
            self.left_to_pika.append(value)
            data = data[consumed:]


@pytest.fixture
def broker():
    return Broker()


@given(bodies=st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=5), data=st.data())
def test_deliveries_are_read_completely_and_in_order_however_the_stream_is_split(bodies, data):
    stream = b"".join(HEARTBEAT + ACK + delivery(tag, body) for tag, body in enumerate(bodies, 1))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(stream) - 1), max_size=20)))
    broker = Broker()
    rest = broker.send(stream, cuts)
    assert broker.received == [(tag, PROPERTIES, body) for tag, body in enumerate(bodies, 1)]
    assert [value.NAME for value in broker.left_to_pika] == ["Heartbeat", "METHOD"] * len(bodies)
    assert rest == b""


def test_a_heartbeat_is_passed_to_pika_at_once(broker):
    assert broker.send(HEARTBEAT) == b""
    assert [type(value) for value in broker.left_to_pika] == [frame.Heartbeat]


@pytest.mark.parametrize(
    "stream",
    [
        delivery(1, b"x" * 250, chunk=100),
        delivery(1, b""),
        delivery(1, b"body", consumer=b"ctag1.cancelled"),
        delivery(1, b"body", channel=2),
    ],
    ids=["several body frames", "empty body", "unknown consumer", "another channel"],
)
def test_an_unusual_delivery_is_left_to_pika(broker, stream):
    assert broker.send(stream) == b""
    assert broker.send(delivery(2, b"next")) == b""
    assert broker.received == [(2, PROPERTIES, b"next")]
    assert sum(isinstance(value, frame.Header) for value in broker.left_to_pika) == 1


def test_a_broken_frame_is_refused_by_pika(broker):
    broken = delivery(1, b"body")[:-1] + b"\x00"
    with pytest.raises(Exception, match="FRAME_END"):
        broker.send(broken)
    assert broker.received == []
