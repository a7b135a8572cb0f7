"""Parse a connection's bytes into HTTP/1.1 requests, within limits, and turn each into a WSGI environ."""

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
from webhook_api.http.response import FAILED, Response

MAX_HEAD_BYTES: Final = 32 * 1024
"""Limit on a request's head and on its trailers; the platform's requests have heads below 1 KiB."""

NO_UPGRADE: Final = Response(400, "upgrade not supported")


class _UnsentBody(RawIOBase):
    """The WSGI input of a request whose sender waits for `100 Continue` and has not sent the body."""

    def read(self, _size: int = -1) -> bytes:
        raise OSError("the body was not requested")


class RequestReader:
    """Parses the requests of one connection, and calls a callback for each request.

    *template* contains the environ entries that the connection's requests share. *answer* receives each
    complete request, and whether its connection may stay open. If a request is refused before it is complete,
    *refuse* receives the connection's last response. *invite* asks the sender of `Expect: 100-continue` for
    the body, or returns False to have the request answered without its body.

    `is_in_request` is true from the start of a request until the request is complete.
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
        # Set a request's attributes to their initial values, although no request has begun yet.
        self.on_message_begin()
        self.is_in_request = False

    def close(self) -> None:
        """Release the parser, whose callbacks refer to this object."""
        self._parser = None

    def feed(self, data: memoryview) -> None:
        """Parse received bytes, and call the callbacks for each request that these bytes complete."""
        # `_quiet_bytes` counts the bytes since the end of the last head, body part or request.
        # So a head, trailers or chunk framing cannot exceed MAX_HEAD_BYTES.
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
            # The parser does not read the body of an upgrade request; a proxy never forwards such a request.
            self._refuse(NO_UPGRADE)
        except httptools.HttpParserCallbackError:
            # A bug in our code must not be answered with 400, because the platform retries only after a 5xx.
            logger().exception("request_failed")
            self._refuse(FAILED)
        except httptools.HttpParserError:
            self._refuse(MALFORMED)

    # The parser calls the following methods, in this order.

    def on_message_begin(self) -> None:
        """Called when a request begins."""
        self._environ = self._template.copy()
        self._target = self._body = b""
        self._size = 0
        self._is_in_head = self.is_in_request = True
        self._is_ambiguous = self._is_settled = False

    def on_url(self, url: bytes) -> None:
        """Called with the request target or a part of it."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called with a header. Keep the first value of a repeated header; later values are ignored."""
        key = KEYS[name]
        environ = self._environ
        if key in environ:
            self._is_ambiguous |= key in SINGLE_KEYS
        # Ignore trailers, which follow the body, because a proxy that checked the head has not seen them.
        elif key and self._is_in_head:
            environ[key] = value.decode("latin-1").strip(" \t")

    def on_headers_complete(self) -> None:
        """Called after the last header: check the head, and refuse the request or continue reading."""
        self._is_in_head = False
        self._quiet_bytes = 0
        environ, parser = self._environ, self._parser
        version = parser.get_http_version()
        fault = MALFORMED if self._is_ambiguous else find_fault(environ, version, self._max_body_bytes)
        if fault is not None:
            self._refuse(fault)
            return
        environ |= parse_request_line(parser.get_method(), self._target, version)
        expects = "HTTP_EXPECT" in environ and environ["HTTP_EXPECT"].lower() == "100-continue"
        if expects and version == "1.1" and not self._invite():
            # The sender is not invited to send the body, so answer the request without its body.
            self._is_settled = True
            environ["wsgi.input"] = _UnsentBody()
            self._answer(environ, False)

    def on_body(self, part: bytes) -> None:
        """Called with a part of the body, which is collected unless the request was already answered."""
        self._quiet_bytes = 0
        self._size += len(part)
        if self._size > self._max_body_bytes:
            self._refuse(TOO_LARGE)
        elif self._is_settled:
            return
        elif self._size == len(part):
            # This is the first part, which is nearly always the whole body.
            self._body = part
        else:
            if type(self._body) is bytes:
                self._body = bytearray(self._body)
            self._body += part

    def on_message_complete(self) -> None:
        """Called when a request is complete: pass the request to *answer*."""
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

    def _refuse(self, response: Response) -> None:
        self._is_settled = True
        self._on_refused(response)
