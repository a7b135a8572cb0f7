"""Replace pika's connection: pass frames to the simulated broker, and its replies to the publisher."""

from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from pika import spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.simulation.world import World

FRAME = struct.Struct(">BHI")
BODY_SIZE = struct.Struct(">Q")
PENDING = 20
"""Without a majority, a channel stops reading once more than this number of its events are pending."""


def parse_publishes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the properties and the body of each event that is published in *data*, a sequence of frames."""
    offset, properties, missing, parts = 0, b"", 0, []
    while offset < len(data):
        kind, _, size = FRAME.unpack_from(data, offset)
        payload = data[offset + FRAME.size : offset + FRAME.size + size]
        offset += FRAME.size + size + 1
        if kind == spec.FRAME_HEADER:
            properties, (missing,), parts = payload[12:], BODY_SIZE.unpack_from(payload, 4), []
        elif kind == spec.FRAME_BODY:
            parts.append(payload)
            missing -= size
            if not missing:
                yield properties, b"".join(parts)


class Connection:
    """Replaces pika's connection and its only channel."""

    channel_number = 1
    unsent_bytes = 0
    params = SimpleNamespace(frame_max=131_072)

    def __init__(
        self,
        _parameters: object,
        *,
        on_open_callback: Callable[..., None],
        on_open_error_callback: Callable[..., None],
        on_close_callback: Callable[..., None],
        custom_ioloop: Any,
    ) -> None:
        self.loop = custom_ioloop
        self.world: World = custom_ioloop.world
        self.broker = self.world.broker
        self.is_closing = self.is_closed = False
        self.is_alive = self.broker.is_up
        self.is_registered: bool | None = None
        self.is_confirming = False
        self.tag = self.pending = 0
        self._arrival = self._reply_at = 0.0
        self._held: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self._on_lost = on_close_callback
        self.on_blocked = self.on_unblocked = self.on_return = _ignore
        if self.is_alive:
            self.broker.connections.append(self)
            self.reply(on_open_callback, self)
        else:
            delay = self.world.random.random() * 0.1
            self.loop.call_later(delay, on_open_error_callback, self, ConnectionRefusedError())

    # The methods that the publisher calls.

    def add_on_connection_blocked_callback(self, callback: Callable[..., None]) -> None:
        self.on_blocked = callback
        if self.broker.is_blocked:
            self.reply(callback, self, None)

    def add_on_connection_unblocked_callback(self, callback: Callable[..., None]) -> None:
        self.on_unblocked = callback

    def channel(self, on_open_callback: Callable[..., None]) -> None:
        self._send(self.reply, on_open_callback, self)

    def add_on_close_callback(self, callback: Callable[..., None]) -> None:
        self._on_channel_closed = callback

    def add_on_return_callback(self, callback: Callable[..., None]) -> None:
        self.on_return = callback

    def exchange_declare(self, _name: str, *, passive: bool, callback: Callable[..., None]) -> None:
        assert passive
        self._send(self._declare, callback)

    def queue_declare(self, _name: str, *, passive: bool, callback: Callable[..., None]) -> None:
        assert passive
        self._send(self._declare, callback)

    def confirm_delivery(self, on_confirm: Callable[..., None], *, callback: Callable[..., None]) -> None:
        self._on_confirm = on_confirm
        self.is_confirming = True
        self._send(self.reply, callback, None)

    def send_frames(self, data: bytes) -> None:
        self._send(self._publish_all, data)

    def close(self) -> None:
        self.is_closing = True
        self._send(self._end)

    # The methods that the broker calls.

    def reply(self, callback: Callable[..., None], *arguments: object) -> None:
        """Call one of the publisher's callbacks after all earlier replies have arrived."""
        self._reply_at = max(self._reply_at, self._later())
        self.world.schedule_call(self._reply_at, self._deliver, (callback, arguments))

    def confirm(self, method: object) -> None:
        """Send a publisher confirm, positive or negative, if confirms are enabled."""
        if self.is_confirming:
            self.reply(self._on_confirm, SimpleNamespace(method=method))

    def close_channel(self, code: int, text: str) -> None:
        """Refuse a publish by closing the channel. Later frames on it are ignored."""
        if self.is_alive:
            self.reply(self._on_channel_closed, self, SimpleNamespace(reply_code=code, reply_text=text))
            self._end()

    def cut(self, notice_seconds: float) -> None:
        """Break the connection and lose all bytes in transit. The process notices after *notice_seconds*."""
        self._end()
        self.loop.call_later(notice_seconds, self._lose)

    def read_held(self) -> None:
        """Handle the frames that arrived while the broker was not reading."""
        held, self._held = self._held, []
        for handle, arguments in held:
            self._handle(handle, arguments)

    def _later(self) -> float:
        return self.world.now + self.broker.latency * (0.5 + self.world.random.random())

    def _send(self, handle: Callable[..., None], *arguments: object) -> None:
        self._arrival = max(self._arrival, self._later())
        self.world.schedule_call(self._arrival, self._handle, (handle, arguments))

    def _handle(self, handle: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        if not self.is_alive:
            return
        if self._held or self.broker.is_blocked or (self.pending > PENDING and not self.broker.has_majority):
            if not self._held:
                self.world.schedule(0.2, self.read_held)
            self._held.append((handle, arguments))
        else:
            handle(*arguments)

    def _publish_all(self, data: bytes) -> None:
        for properties, body in parse_publishes(data):
            if self.is_alive:
                self.broker.publish(self, properties, body)

    def _declare(self, callback: Callable[..., None]) -> None:
        if self.broker.has_exchange:
            self.reply(callback, method(message_count=len(self.broker.ready)))
        else:
            self.close_channel(404, "no exchange")

    def _deliver(self, callback: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        if self.is_alive or callback is self.__dict__.get("_on_channel_closed"):
            self.loop.call_soon(callback, *arguments)

    def _lose(self) -> None:
        self.is_closed = True
        self._on_lost(self, ConnectionResetError())

    def _end(self) -> None:
        if self.is_alive:
            self.is_alive = False
            self.broker.connections.remove(self)


def _ignore(*_: object) -> None:
    """Do nothing: the publisher has not set this callback yet."""


def method(**fields: object) -> Any:
    """Return an AMQP method as pika passes it to callbacks."""
    return SimpleNamespace(method=SimpleNamespace(**fields), **fields)
