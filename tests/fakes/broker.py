"""Fake a broker without sockets: pika's own connections write to links, which answer as RabbitMQ does."""

import time

from pika import frame, spec

from messaging.broker import BrokerConnection

CHANNEL = 1
CAPABILITIES = {"publisher_confirms": True, "basic.nack": True, "connection.blocked": True}
RETURN = (
    frame.Method(CHANNEL, spec.Basic.Return(312, "NO_ROUTE", "open-messaging", "event")).marshal()
    + frame.Header(CHANNEL, 0, spec.BasicProperties()).marshal()
)
BLOCKED = frame.Method(0, spec.Connection.Blocked("low on memory")).marshal()
ANSWERS = {
    spec.Connection.StartOk: lambda _method: spec.Connection.Tune(2047, 131_072, 10),
    spec.Connection.Open: lambda _method: spec.Connection.OpenOk(),
    spec.Connection.Close: lambda _method: spec.Connection.CloseOk(),
    spec.Channel.Open: lambda _method: spec.Channel.OpenOk(),
    spec.Channel.Close: lambda _method: spec.Channel.CloseOk(),
    spec.Exchange.Declare: lambda _method: spec.Exchange.DeclareOk(),
    spec.Queue.Declare: lambda method: spec.Queue.DeclareOk(method.queue, 0, 0),
    spec.Confirm.Select: lambda _method: spec.Confirm.SelectOk(),
    spec.Basic.Qos: lambda _method: spec.Basic.QosOk(),
    spec.Basic.Consume: lambda method: spec.Basic.ConsumeOk(method.consumer_tag),
}


class FakeBroker:
    """A broker that keeps a link for each connection, and does not answer the methods in `unanswered`."""

    def __init__(self):
        self.links = []
        self.unanswered = set()

    def connect(self, parameters, **options):
        broker = self

        class Linked(BrokerConnection):
            def _adapter_connect_stream(self):
                broker.links.append(Link(broker, self))

        return Linked(parameters, **options)

    def open_links(self):
        return [link for link in self.links if link.is_open]


class Link:
    """The broker's end of one connection; pika uses it as the connection's transport."""

    def __init__(self, broker, connection):
        self._broker = broker
        self._connection = connection
        self.port = connection.params.port
        self.is_open = True
        self.bodies = []
        self._owed = []
        connection._proto_connection_made(self)

    def write(self, data):
        while data and self.is_open:
            consumed, value = frame.decode_frame(data)
            data = data[consumed:]
            if isinstance(value, frame.Body):
                self.bodies.append(value.fragment)
            elif isinstance(value, frame.ProtocolHeader):
                self.answer(0, spec.Connection.Start(0, 9, {"capabilities": CAPABILITIES}))
            elif isinstance(value, frame.Method) and type(value.method) in ANSWERS:
                self._answer_to(value.channel_number, value.method)

    def _answer_to(self, channel, method):
        answer = (channel, ANSWERS[type(method)](method))
        if type(method) in self._broker.unanswered:
            self._owed.append(answer)
        else:
            self.answer(*answer)

    def answer_at_last(self):
        """Send the answers that this link has withheld because their methods were in `unanswered`."""
        owed, self._owed = self._owed, []
        for answer in owed:
            self.answer(*answer)

    def answer(self, channel, method):
        self.send(frame.Method(channel, method).marshal())

    def send(self, data):
        """Pass *data* to pika in one piece, in the next iteration of the loop."""
        self._connection.ioloop.call_soon(self._arrive, data)

    def abort(self):
        if self.is_open:
            self.is_open = False
            self._connection.ioloop.call_soon(self._connection._proto_connection_lost, None)

    def get_write_buffer_size(self):
        return 0

    def _arrive(self, data):
        if self.is_open:
            self._connection._proto_data_received(data)


def turn_until(loop, condition, seconds=5.0):
    """Run the loop until *condition* is true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition never held"
        turn(loop)


def turn(loop, times=1):
    for _ in range(times):
        loop.call_soon(loop.stop)
        loop.run_forever()
