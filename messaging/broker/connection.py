"""Extend pika's asyncio and blocking connections beyond pika's public interface.

This is the only file that uses pika's private names; comments give the reason for each use. These names can
change in any minor release, so setup.cfg pins pika below the next one, and the tests use all of the names.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import pika.data
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.adapters.blocking_connection import BlockingConnection
from pika.adapters.utils.io_services_utils import _AsyncPlaintextTransport
from pika.exceptions import AMQPConnectionError

from messaging.broker.frames import DeliveryReader
from messaging.errors import BrokerUnavailableError

CLOSE_SECONDS: Final = 5.0
"""How long to wait for the broker to answer a request to close a connection."""

RECEIVE_BYTES: Final = 65_536
"""Size of a read: about a hundred typical events. Each read can make the loop lose the GIL, so make few."""

_decode_value: Final = pika.data.decode_value

_SIZES: Final = {
    kind: size
    for size, kinds in {0: b"V", 1: b"tbB", 2: b"Uus", 4: b"Iif", 5: b"D", 8: b"LldT"}.items()
    for kind in kinds
}
"""Size of a header's value by its kind, in bytes. Values of other kinds begin with a four-byte length."""


def _decode_any_value(encoded: bytes, offset: int) -> tuple[Any, int]:
    """Decode a header's value as pika does, but return None for a value that Python cannot represent.

    Otherwise, a time after the year 9999 or deeply nested tables would make pika end the connection.
    """
    try:
        value, end = _decode_value(encoded, offset)
    except (ValueError, ArithmeticError, OSError, RecursionError):
        start = offset + 1
        length = 4 + int.from_bytes(encoded[start : start + 4], "big")
        return None, start + _SIZES.get(encoded[offset], length)
    return value, end


pika.data.decode_value = _decode_any_value


class BrokerConnection(AsyncioConnection):  # type: ignore[misc]  # pika ships no py.typed
    """A pika connection that can also send encoded frames and parse whole deliveries.

    `deliveries` parses the deliveries of one channel without pika's frame objects; if None, pika parses them.
    """

    deliveries: DeliveryReader | None = None

    def close(self, reply_code: int = 200, reply_text: str = "Normal shutdown") -> None:
        """Close the connection; if the broker does not answer within CLOSE_SECONDS, abort it.

        On its own, pika would wait for as long as heartbeats arrive: it sends Channel.Close only after the
        broker has answered the channel's earlier methods. A missing answer might be the reason for closing.
        """
        super().close(reply_code, reply_text)
        self.ioloop.call_later(CLOSE_SECONDS, lambda: self._transport and self._transport.abort())

    def send_frames(self, data: bytes) -> None:
        """Send whole frames: pass as many bytes as possible directly to the kernel, and the rest to pika.

        pika's own `_send_message` writes three frames at a time, and its transport waits until the socket is
        reported writable. That wait costs two system calls and a turn of the loop.
        """
        sent = self._send_at_once(data)
        if sent < len(data):
            self._output_marshaled_frames([data[sent:] if sent else data])

    def _send_at_once(self, data: bytes) -> int:
        """Return how many bytes the kernel accepted; 0 if earlier bytes are still waiting or TLS is used.

        A socket error is ignored here; pika detects it when it next sends or receives.
        """
        transport = self._transport
        if type(transport) is not _AsyncPlaintextTransport or transport._tx_buffers:  # noqa: SLF001
            return 0
        if transport._state != transport._STATE_ACTIVE:  # noqa: SLF001  # any other state drops the data
            return 0
        with suppress(OSError):
            sent: int = transport._sock.send(data)  # noqa: SLF001
            return sent
        return 0

    @property
    def unsent_bytes(self) -> int:
        """Number of bytes written to the transport that the kernel has not accepted yet."""
        transport = self._transport
        return transport.get_write_buffer_size() if transport is not None else 0

    def _proto_connection_made(self, transport: Any) -> None:
        """Raise the size of pika's reads from the default of 4 KiB to RECEIVE_BYTES."""
        transport._MAX_RECV_BYTES = RECEIVE_BYTES  # noqa: SLF001  # pika has no setting for it
        super()._proto_connection_made(transport)

    def _on_data_available(self, data_in: bytes) -> None:
        """Process received data as pika's own method does, but let `deliveries` parse the deliveries first.

        An incomplete delivery stays in the buffer, because pika must not read its first frame alone.
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
    """Limit how long confirmed publishes or another synchronous method can take on a blocking connection.

    pika waits for a confirm until the connection ends, even during an alarm or while a queue has no majority.
    During that wait, only the timers of pika's inner loop run. So such a timer ends the stream here, as in
    pika's own `blocked_connection_timeout`, which covers only alarms.

    Raises BrokerUnavailableError if no confirm arrives in time. The message can still arrive, or be lost.
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
            f"the broker has confirmed nothing for {seconds:g} s: it has an alarm, or a queue has no majority"
        ) from None
    finally:
        impl.ioloop.remove_timeout(timer)
