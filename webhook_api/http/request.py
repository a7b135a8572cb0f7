"""Read HTTP/1.1 requests off a connection's bytes, bounded, and decide early what can be decided early."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import httptools

from messaging.log import logger
from webhook_api.ingest import TOO_LARGE, Answer
from webhook_api.routes import WEBHOOK_PATH

if TYPE_CHECKING:
    from webhook_api.ingest import Ingest

HEAD_BYTES: Final = 32 * 1024
"""Upper bound of a request's head; the platform's own is below 1 KiB."""

_PATH: Final = WEBHOOK_PATH.encode()


class Incoming:
    """A request that is being read.

    `headers` have lower-case names. `refusal` is the answer already decided, if any; its body is not kept.
    """

    __slots__ = ("_parts", "headers", "is_webhook", "method", "refusal", "size", "target", "version")

    def __init__(self) -> None:
        self.method = b""
        self.target = b""
        self.version = ""
        self.headers: dict[bytes, bytes] = {}
        self.is_webhook = False
        self.refusal: Answer | None = None
        self.size = 0
        self._parts: list[bytes] = []

    @property
    def body(self) -> bytes:
        """The body, once it is whole."""
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)

    def keep(self, part: bytes) -> None:
        """Add a part of the body."""
        self._parts.append(part)


class RequestSink(Protocol):
    """Who answers what the reader reads."""

    def begin(self) -> None:
        """Hear that a request's first byte has come."""

    def go_on(self) -> None:
        """Tell the sender, which waits for it, to send the body."""

    def refuse(self, answer: Answer) -> None:
        """Answer before the request is whole, and read no further one."""

    def answer(self, incoming: Incoming, *, keep_alive: bool) -> None:
        """Answer a whole request."""


class RequestReader:
    """The parser with its callbacks.

    Args:
        ingest: Knows whether a webhook may come in, and how large it may be.
        sink: Who answers.
    """

    def __init__(self, ingest: Ingest, sink: RequestSink) -> None:
        self._ingest = ingest
        self._sink = sink
        self._parser = httptools.HttpRequestParser(self)
        self._incoming = Incoming()
        # Bytes of the head being read; -1 once it is whole.
        self._head_bytes = 0

    def feed(self, data: bytes) -> None:
        """Take bytes as they came; the sink hears of what they complete."""
        if self._head_bytes >= 0:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # The parser gives up on the body of such a request. A proxy never passes one on.
            self._sink.refuse(Answer(400, "upgrade not supported"))
        except httptools.HttpParserCallbackError:
            # A bug of ours must not look like the sender's: only 5xx is sent again.
            logger().exception("request_failed")
            self._sink.refuse(Answer(500, "internal server error"))
        except httptools.HttpParserError:
            self._sink.refuse(Answer(400, "malformed request"))
        else:
            if self._head_bytes > HEAD_BYTES:
                self._sink.refuse(Answer(431, "request head too large"))

    # The parser's callbacks, in the order in which they come.

    def on_message_begin(self) -> None:
        """Start a request."""
        self._incoming = Incoming()
        self._sink.begin()

    def on_url(self, url: bytes) -> None:
        """Take the request target, or a part of it."""
        self._incoming.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header; of a repeated one the first counts, so that none can be overridden."""
        self._incoming.headers.setdefault(name.lower(), value)

    def on_headers_complete(self) -> None:
        """Decide what can be decided before the body."""
        self._head_bytes = -1
        incoming = self._incoming
        incoming.method = self._parser.get_method()
        if incoming.method == b"POST" and incoming.target.partition(b"?")[0] == _PATH:
            incoming.is_webhook = True
            incoming.refusal = self._ingest.admit()
        if int(incoming.headers.get(b"content-length", b"0")) > self._ingest.max_body_bytes:
            self._refuse(TOO_LARGE)
        elif incoming.headers.get(b"expect", b"").lower() == b"100-continue":
            if incoming.refusal is not None:
                self._refuse(incoming.refusal)
            else:
                self._sink.go_on()

    def on_body(self, part: bytes) -> None:
        """Take a part of the body, unless it has been refused already."""
        incoming = self._incoming
        incoming.size += len(part)
        if incoming.size > self._ingest.max_body_bytes:
            self._refuse(TOO_LARGE)
        elif incoming.refusal is None:
            incoming.keep(part)

    def on_message_complete(self) -> None:
        """Hand the whole request on."""
        self._head_bytes = 0
        self._incoming.version = self._parser.get_http_version()
        if not self._parser.should_upgrade():
            self._sink.answer(self._incoming, keep_alive=self._parser.should_keep_alive())

    def _refuse(self, answer: Answer) -> None:
        self._incoming.refusal = answer
        self._sink.refuse(answer)
