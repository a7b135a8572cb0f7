"""Parse HTTP/1.1 requests from a connection's bytes, within limits, each into its WSGI environ."""

from collections.abc import Callable
from io import BytesIO, RawIOBase
from typing import Any, Final

import httptools

from messaging.log import logger
from webhook_api.http.head import (
    HEAD_TOO_LARGE,
    KEYS,
    MALFORMED,
    SINGLE_KEYS,
    TOO_LARGE,
    find_fault,
    parse_request_line,
)
from webhook_api.http.response import Response

MAX_HEAD_BYTES: Final = 32 * 1024
"""Limit of a request's head and of its trailers, however they arrive; the platform's head is below 1 KiB."""

NO_UPGRADE: Final = Response(400, "upgrade not supported")
FAILED: Final = Response(500, "internal server error")


class _UnsentBody(RawIOBase):
    """The input of a request whose body was not requested."""

    def read(self, _size: int = -1) -> bytes:
        raise OSError("the body was not requested")


class RequestReader:
    """The parser with its callbacks.

    *template* is what every environ of a connection contains. *answer* is called with each complete request,
    and whether its connection may stay open; *refuse* with the response to one that is refused before it is
    complete, as the last call. *invite* asks the sender of `Expect: 100-continue` for the body, or returns
    False to answer without it.

    `is_in_request`: whether a request has begun and is not complete.
    """

    def __init__(
        self,
        template: dict[str, Any],
        max_body_bytes: int,
        *,
        answer: Callable[[dict[str, Any], bool], None],
        refuse: Callable[[Response], None],
        invite: Callable[[], bool],
    ) -> None:
        self._template = template
        self._max_body_bytes = max_body_bytes
        self._answer = answer
        self._on_refused = refuse
        self._invite = invite
        self._parser: Any = httptools.HttpRequestParser(self)
        self._environ: dict[str, Any] = {}
        self._body: bytes | bytearray = b""
        self._quiet_bytes = 0
        # Set the initial state of a request; the first request has not begun yet.
        self.on_message_begin()
        self.is_in_request = False

    def close(self) -> None:
        """Release the parser, which refers to the callbacks and so to this object."""
        self._parser = None

    def feed(self, data: memoryview) -> None:
        """Parse received bytes; the callbacks are called for the requests that they complete."""
        # `_quiet_bytes` counts the bytes since a head was completed, a part of a body arrived or a request
        # ended: a head, trailers or the framing of chunks may have MAX_HEAD_BYTES.
        while data:
            part = data[: MAX_HEAD_BYTES - self._quiet_bytes]
            self._quiet_bytes += len(part)
            self._parse(part)
            if self._quiet_bytes >= MAX_HEAD_BYTES:
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
            # Our own bug must not look like the sender's fault: the platform retries only after 5xx.
            logger().exception("request_failed")
            self._refuse(FAILED)
        except httptools.HttpParserError:
            self._refuse(MALFORMED)

    # The parser's callbacks, in the order of their calls.

    def on_message_begin(self) -> None:
        """Start a request."""
        self._environ = self._template.copy()
        self._target = self._body = b""
        self._size = 0
        self._is_in_head = self.is_in_request = True
        self._is_ambiguous = self._is_settled = False

    def on_url(self, url: bytes) -> None:
        """Collect the request target, or a part of it."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect one header; keep the first value of a repeated header, so that it cannot be overridden."""
        key = KEYS[name]
        environ = self._environ
        if key in environ:
            self._is_ambiguous |= key in SINGLE_KEYS
        # A trailer follows the body and is ignored: a proxy that checked the head has not seen it.
        elif key and self._is_in_head:
            environ[key] = value.decode("latin-1").strip(" \t")

    def on_headers_complete(self) -> None:
        """Check the head, and refuse the request or read on."""
        self._is_in_head = False
        self._quiet_bytes = 0
        environ, parser = self._environ, self._parser
        version = parser.get_http_version()
        fault = MALFORMED if self._is_ambiguous else find_fault(environ, version, self._max_body_bytes)
        if fault is not None:
            self._refuse(fault)
            return
        environ |= parse_request_line(parser.get_method(), self._target, version)
        if "HTTP_EXPECT" in environ and environ["HTTP_EXPECT"].lower() == "100-continue" and version == "1.1":
            self._expect()

    def on_body(self, part: bytes) -> None:
        """Collect a part of the body, unless the request has been answered already."""
        self._quiet_bytes = 0
        self._size += len(part)
        if self._size > self._max_body_bytes:
            self._refuse(TOO_LARGE)
        elif self._is_settled:
            return
        elif self._size == len(part):
            # This part is nearly always the whole body.
            self._body = part
        else:
            if type(self._body) is bytes:
                self._body = bytearray(self._body)
            self._body += part

    def on_message_complete(self) -> None:
        """Pass the complete request on."""
        self._quiet_bytes = 0
        if self._is_settled or self._parser.should_upgrade():
            return
        self.is_in_request = False
        environ = self._environ
        environ["wsgi.input"] = BytesIO(self._body)
        if "HTTP_TRANSFER_ENCODING" in environ:
            del environ["HTTP_TRANSFER_ENCODING"]
            environ["CONTENT_LENGTH"] = str(self._size)
        self._answer(environ, self._parser.should_keep_alive())

    def _expect(self) -> None:
        """Ask for the body, or have the request answered without it."""
        if not self._invite():
            self._is_settled = True
            self._environ["wsgi.input"] = _UnsentBody()
            self._answer(self._environ, False)

    def _refuse(self, response: Response) -> None:
        self._is_settled = True
        self._on_refused(response)
