"""Reach past pika's public interface where that pays, for connections on an asyncio loop and blocking ones.

This is the only file that uses private names of pika, each with its reason. They may change in any minor
release, so setup.cfg pins pika below the next one; the unit tests of `messaging` and the integration tests
of publisher, consumer and confirms meet every one of them.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from pika.adapters.asyncio_connection import AsyncioConnection
from pika.adapters.utils.io_services_utils import _AsyncPlaintextTransport
from pika.exceptions import AMQPConnectionError

from messaging.errors import BrokerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pika.adapters.blocking_connection import BlockingConnection

    from messaging.broker.delivery_frames import DeliveryReader

CLOSE_SECONDS: Final = 5.0
"""How long the broker may take to answer that a connection is to be closed."""

RECEIVE_BYTES: Final = 65_536
"""A hundred events of usual size. At each read the processing thread may take the interpreter lock."""


class BrokerConnection(AsyncioConnection):  # type: ignore[misc]  # pika ships no py.typed
    """pika's connection, with a way in for marshalled frames and a way out for whole deliveries.

    `deliveries` reads the deliveries of one channel past pika's frame objects; None leaves all to pika.
    """

    deliveries: DeliveryReader | None = None

    def close(self, reply_code: int = 200, reply_text: str = "Normal shutdown") -> None:
        """Do as pika does, and end the stream where the broker does not answer in CLOSE_SECONDS.

        pika would wait for as long as heartbeats come: it sends Channel.Close only when the channel has
        answered what was asked before, and that it does not may be why the connection is given up.
        """
        super().close(reply_code, reply_text)
        self.ioloop.call_later(CLOSE_SECONDS, self._end_stream)

    def _end_stream(self) -> None:
        """Have the transport close the socket, whatever is on its way."""
        if self._transport is not None:
            self._transport.abort()

    def send_frames(self, data: bytes) -> None:
        """Hand whole frames to the transport as one write, and to the kernel at once as far as it takes them.

        pika has no public way in for marshalled frames. Whole publishes in one piece are what its own
        `_send_message` hands over too, only three frames at a time. Its transport never sends at once: it
        asks to be told when the socket is writable, which costs two system calls and a turn of the loop.
        """
        sent = self._send_at_once(data)
        if sent < len(data):
            self._output_marshaled_frames([data[sent:] if sent else data])

    def _send_at_once(self, data: bytes) -> int:
        """Return how many bytes the kernel took; what waits already goes first, TLS is left to pika.

        What is wrong with the socket pika meets by itself, when it sends or receives next.
        """
        transport = self._transport
        if type(transport) is not _AsyncPlaintextTransport or transport._tx_buffers:  # noqa: SLF001
            return 0
        if transport._state != transport._STATE_ACTIVE:  # noqa: SLF001  # it throws away what it is given
            return 0
        with suppress(OSError):
            sent: int = transport._sock.send(data)  # noqa: SLF001
            return sent
        return 0

    @property
    def unsent_bytes(self) -> int:
        """Bytes handed to the transport that the kernel has not taken yet; pika tells nobody."""
        transport = self._transport
        return transport.get_write_buffer_size() if transport is not None else 0

    def _proto_connection_made(self, transport: Any) -> None:
        """Do as pika does when the transport is there, and have it read more than 4 KiB at once."""
        transport._MAX_RECV_BYTES = RECEIVE_BYTES  # noqa: SLF001  # pika has no setting for it
        super()._proto_connection_made(transport)

    def _on_data_available(self, data_in: bytes) -> None:
        """Do as pika does (its `Connection._on_data_available`), but read deliveries first.

        A delivery that is not whole stays in the buffer: once pika has its first frame, it needs the rest.
        """
        self._frame_buffer += data_in
        while self._frame_buffer:
            if self.deliveries is not None:
                consumed, is_waiting = self.deliveries.read(self._frame_buffer)
                self._trim_frame_buffer(consumed)
                if is_waiting:
                    return
            consumed, frame_value = self._read_frame()
            if not frame_value:
                return
            self._trim_frame_buffer(consumed)
            self._process_frame(frame_value)


@contextmanager
def confirms_within(connection: BlockingConnection, seconds: float) -> Iterator[None]:
    """Publish in here with confirms, or ask or close; the connection is given up when that takes longer.

    pika waits for a confirm as long as the connection lasts, and heartbeats keep it up through an alarm and
    through the loss of a queue's majority. Meanwhile only the timers of its inner loop fire, not those of
    `BlockingConnection.call_later`; so this ends the stream as pika's own `blocked_connection_timeout` does,
    which knows alarms alone.

    Raises:
        BrokerUnavailableError: No confirm came in time: what was published may arrive still, or never.
    """
    impl = connection._impl  # noqa: SLF001
    late = AMQPConnectionError()

    def give_up() -> None:
        if not impl.is_closed:
            impl._terminate_stream(late)  # noqa: SLF001

    timer = impl.ioloop.call_later(seconds, give_up)
    try:
        yield
    except AMQPConnectionError as error:
        if error is not late:
            raise
        raise BrokerUnavailableError(
            f"the broker has confirmed nothing for {seconds:g} s: an alarm, or a queue without its majority"
        ) from None
    finally:
        impl.ioloop.remove_timeout(timer)
