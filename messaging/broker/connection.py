"""Extend pika's connections, on an asyncio loop and blocking, beyond its public interface.

This is the only file that uses private names of pika, each with its reason. Since they may change in any
minor release, setup.cfg pins pika below the next one, and the tests of `messaging` use every one of them.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from pika.adapters.asyncio_connection import AsyncioConnection
from pika.adapters.blocking_connection import BlockingConnection
from pika.adapters.utils.io_services_utils import _AsyncPlaintextTransport
from pika.exceptions import AMQPConnectionError

from messaging.broker.frames import DeliveryReader
from messaging.errors import BrokerUnavailableError

CLOSE_SECONDS: Final = 5.0
"""How long the broker may take to answer the close of a connection."""

RECEIVE_BYTES: Final = 65_536
"""A hundred events of usual size: at each read, the processing thread may take the interpreter lock."""


class BrokerConnection(AsyncioConnection):  # type: ignore[misc]  # pika ships no py.typed
    """pika's connection, which sends encoded frames and reads whole deliveries.

    `deliveries` parses the deliveries of one channel without pika's frame objects; None leaves all to pika.
    """

    deliveries: DeliveryReader | None = None

    def close(self, reply_code: int = 200, reply_text: str = "Normal shutdown") -> None:
        """Close as pika does, and end the stream if the broker does not answer within CLOSE_SECONDS.

        pika would wait for as long as heartbeats arrive: it sends Channel.Close only after the broker has
        answered the channel's earlier methods, and a missing answer may be why the connection is closed.
        """
        super().close(reply_code, reply_text)
        self.ioloop.call_later(CLOSE_SECONDS, lambda: self._transport and self._transport.abort())

    def send_frames(self, data: bytes) -> None:
        """Write whole frames in one piece, and to the kernel at once as far as it accepts them.

        pika's own `_send_message` writes three frames at a time, and its transport waits until the socket is
        reported writable, which costs two system calls and a turn of the loop.
        """
        sent = self._send_at_once(data)
        if sent < len(data):
            self._output_marshaled_frames([data[sent:] if sent else data])

    def _send_at_once(self, data: bytes) -> int:
        """Return how many bytes the kernel accepted; 0 if earlier bytes still wait, and with TLS.

        pika notices an error of the socket itself, when it sends or receives next.
        """
        transport = self._transport
        if type(transport) is not _AsyncPlaintextTransport or transport._tx_buffers:  # noqa: SLF001
            return 0
        if transport._state != transport._STATE_ACTIVE:  # noqa: SLF001  # it drops what it is given
            return 0
        with suppress(OSError):
            sent: int = transport._sock.send(data)  # noqa: SLF001
            return sent
        return 0

    @property
    def unsent_bytes(self) -> int:
        """Bytes written to the transport that the kernel has not accepted yet."""
        transport = self._transport
        return transport.get_write_buffer_size() if transport is not None else 0

    def _proto_connection_made(self, transport: Any) -> None:
        """Have pika read more than 4 KiB at once."""
        transport._MAX_RECV_BYTES = RECEIVE_BYTES  # noqa: SLF001  # pika has no setting for it
        super()._proto_connection_made(transport)

    def _on_data_available(self, data_in: bytes) -> None:
        """Do as pika's `Connection._on_data_available`, but read deliveries first.

        An incomplete delivery stays in the buffer: once pika has its first frame, it needs the rest.
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
    """Limit the time of confirmed publishes, or of another synchronous method, on a blocking connection.

    pika waits for a confirm as long as the connection lasts, through an alarm and through the loss of a
    queue's majority. Meanwhile only the timers of its inner loop fire; so this ends the stream as its own
    `blocked_connection_timeout` does, which covers alarms alone.

    Raises BrokerUnavailableError if no confirm arrived in time. The message may still arrive, or be lost.
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
