"""Read HTTP/1.1 requests off a connection's bytes, bounded, each into its WSGI environ."""

from __future__ import annotations

from io import BytesIO, RawIOBase
from typing import TYPE_CHECKING, Any, Final, Protocol

import httptools

from messaging.log import logger
from webhook_api.answer import Answer
from webhook_api.http.head import (
    HEAD_TOO_LARGE,
    KEYS,
    MALFORMED,
    TOO_LARGE,
    fault_in,
    must_be_single,
    request_line,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

HEAD_BYTES: Final = 32 * 1024
"""Limit of a request's head and of its trailers, however they arrive; the platform's head is below 1 KiB."""

NO_UPGRADE: Final = Answer(400, "upgrade not supported")
FAILED: Final = Answer(500, "internal server error")


class RequestSink(Protocol):
    """Who answers what the reader reads."""

    def is_inviting(self) -> bool:
        """Tell whether a sender that asks first shall send its body."""

    def go_on(self) -> None:
        """Tell the sender to send the body."""

    def refuse(self, answer: Answer) -> None:
        """Answer before the request is whole, and read no further one."""

    def answer(self, environ: dict[str, Any], *, keep_alive: bool) -> None:
        """Answer a request by the application."""


class Unsent(RawIOBase):
    """The input of a request whose body was not sent for."""

    def read(self, _size: int = -1) -> bytes:
        """Refuse: whoever wants this body comes too late, the sender was not told to send it."""
        raise OSError("the body was not sent for")


class RequestReader:
    """The parser with its callbacks.

    Args:
        template: What every environ of this connection holds.
        body_bytes: The limit of a body.
        sink: Who answers.

    `is_in_request`: whether a request has begun and not been read to its end.
    """

    def __init__(self, template: Mapping[str, Any], body_bytes: int, sink: RequestSink) -> None:
        self._template = dict(template)
        self._body_bytes = body_bytes
        self._sink = sink
        self._parser: Any = httptools.HttpRequestParser(self)
        self._environ: dict[str, Any] = {}
        # Of the request before: a connection's requests differ in their headers, seldom in this.
        self._line: tuple[bytes, bytes, str] | None = None
        self._target = b""
        self._body: bytes | bytearray = b""
        self._size = 0
        self._is_in_head = True
        self._is_ambiguous = False
        self._is_settled = False
        self._quiet_bytes = 0
        self.is_in_request = False

    def close(self) -> None:
        """Let go of the parser, which holds the callbacks and so this object."""
        self._parser = None

    def feed(self, data: memoryview) -> None:
        """Take bytes as they came; the sink is called for what they complete."""
        # Bytes since the last one that completed a head, brought a part of a body or ended a request: a head,
        # trailers or the framing of chunks may have HEAD_BYTES and no more.
        while data:
            part = data[: HEAD_BYTES - self._quiet_bytes]
            self._quiet_bytes += len(part)
            self._parse(part)
            if self._quiet_bytes >= HEAD_BYTES:
                self._refuse(HEAD_TOO_LARGE)
                return
            data = data[len(part) :]

    def _parse(self, data: memoryview) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # The parser gives up on the body of such a request. A proxy never passes one on.
            self._refuse(NO_UPGRADE)
        except httptools.HttpParserCallbackError:
            # A bug of ours must not look like the sender's: only 5xx is sent again.
            logger().exception("request_failed")
            self._refuse(FAILED)
        except httptools.HttpParserError:
            self._refuse(MALFORMED)

    # The parser's callbacks, in the order in which they come.

    def on_message_begin(self) -> None:
        """Start a request."""
        self._environ = self._template.copy()
        self._target = b""
        self._body = b""
        self._size = 0
        self._is_in_head = True
        self._is_ambiguous = False
        self._is_settled = False
        self.is_in_request = True

    def on_url(self, url: bytes) -> None:
        """Take the request target, or a part of it."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header; of a repeated one the first counts, so that none can be overridden."""
        key = KEYS[name]
        environ = self._environ
        if key in environ:
            self._is_ambiguous |= must_be_single(key)
        # A trailer comes after the body and counts for nothing: whoever checked the head has not seen it.
        elif key and self._is_in_head:
            environ[key] = value.decode("latin-1").strip(" \t")

    def on_headers_complete(self) -> None:
        """Decide what can be decided before the body."""
        self._is_in_head = False
        self._quiet_bytes = 0
        environ, parser = self._environ, self._parser
        version = parser.get_http_version()
        fault = MALFORMED if self._is_ambiguous else fault_in(environ, version, self._body_bytes)
        if fault is not None:
            self._refuse(fault)
            return
        line = (parser.get_method(), self._target, version)
        if line != self._line:
            self._begin_line(line)
        if "HTTP_EXPECT" in environ and environ["HTTP_EXPECT"].lower() == "100-continue" and version == "1.1":
            self._invite()

    def on_body(self, part: bytes) -> None:
        """Take a part of the body, unless the request has been answered already."""
        self._quiet_bytes = 0
        self._size += len(part)
        if self._size > self._body_bytes:
            self._refuse(TOO_LARGE)
        elif self._is_settled:
            return
        elif self._size == len(part):
            # Nearly always the whole body.
            self._body = part
        else:
            if type(self._body) is bytes:
                self._body = bytearray(self._body)
            self._body += part

    def on_message_complete(self) -> None:
        """Hand the whole request on."""
        self._quiet_bytes = 0
        if self._is_settled or self._parser.should_upgrade():
            return
        self.is_in_request = False
        environ = self._environ
        environ["wsgi.input"] = BytesIO(self._body)
        if "HTTP_TRANSFER_ENCODING" in environ:
            del environ["HTTP_TRANSFER_ENCODING"]
            environ["CONTENT_LENGTH"] = str(self._size)
        self._sink.answer(environ, keep_alive=self._parser.should_keep_alive())

    def _begin_line(self, line: tuple[bytes, bytes, str]) -> None:
        """Put a request's first line into its environ, and into those of the requests that follow."""
        parts = request_line(*line)
        self._environ |= parts
        if "HTTP_HOST" not in parts:
            self._line = line
            self._template |= parts

    def _invite(self) -> None:
        """Send for the body, or have the request answered without it."""
        if self._sink.is_inviting():
            self._sink.go_on()
        else:
            self._is_settled = True
            self._environ["wsgi.input"] = Unsent()
            self._sink.answer(self._environ, keep_alive=False)

    def _refuse(self, answer: Answer) -> None:
        self._is_settled = True
        self._sink.refuse(answer)
