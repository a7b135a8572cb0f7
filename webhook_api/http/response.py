"""Render responses for WSGI, and encode responses as the bytes of HTTP/1.1."""

import json
import time
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Final, NamedTuple

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

_HOP_BY_HOP: Final = {"connection", "keep-alive", "transfer-encoding", "upgrade", "trailer", "date"}
"""Headers that the server sets itself; an application's values for these headers are dropped."""

_WITHOUT_BODY: Final = {"204", "304"}


class Response(NamedTuple):
    """A response: status code, text, and Retry-After in seconds. As a tuple, it can be the key of a cache."""

    status: int
    text: str
    retry_after: int | None = None


FAILED: Final = Response(500, "internal server error")


class Rendered(NamedTuple):
    """A response in the form that WSGI needs: status line, headers in order, and a JSON object as body."""

    status: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


@lru_cache(maxsize=256)
def render(response: Response) -> Rendered:
    """Return a response in the form that WSGI needs; for equal responses, return the same object."""
    body = (json.dumps({"status": response.text}) + "\n").encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    if response.retry_after is not None:
        headers.append(("Retry-After", str(response.retry_after)))
    return Rendered(f"{response.status} {HTTPStatus(response.status).phrase}", tuple(headers), body)


def encode_response(response: Response, *, keep_alive: bool) -> bytes:
    """Return the bytes of a response that comes from this server, not from the application."""
    return encode(*render(response), keep_alive=keep_alive)


def encode(
    status: str, headers: tuple[tuple[str, str], ...], body: bytes, *, keep_alive: bool, is_head: bool = False
) -> bytes:
    """Return a response as bytes; raise ValueError if the status or a header contains a line break."""
    start, end, has_length = _encode_head(status, headers, keep_alive)
    has_body = status[:3] not in _WITHOUT_BODY
    length = b"" if has_length or not has_body else b"Content-Length: %d\r\n" % len(body)
    content = body if has_body and not is_head else b""
    return b"".join((start, _date(int(time.time())), end, length, b"\r\n", content))


@lru_cache(maxsize=2)
def _date(second: int) -> bytes:
    return formatdate(second, usegmt=True).encode()


@lru_cache(maxsize=256)
def _encode_head(
    status: str,
    headers: tuple[tuple[str, str], ...],
    keep_alive: bool,  # noqa: FBT001  # part of the cache key
) -> tuple[bytes, bytes, bool]:
    """Return the head's bytes before and after the date, and whether the head has a Content-Length."""
    kept = [(name, value) for name, value in headers if name.lower() not in _HOP_BY_HOP]
    kept.append(("Connection", "keep-alive" if keep_alive else "close"))
    start = f"HTTP/1.1 {status}\r\nDate: "
    lines = [f"{name}: {value}" for name, value in kept]
    if any("\r" in line or "\n" in line for line in (status, *lines)):
        raise ValueError("a line feed in the head of a response")
    end = "\r\n" + "\r\n".join(lines) + "\r\n"
    has_length = any(name.lower() == "content-length" for name, _ in kept)
    return start.encode("latin-1"), end.encode("latin-1"), has_length
