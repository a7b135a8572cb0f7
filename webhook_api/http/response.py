"""Render responses: for WSGI, and as the bytes of HTTP/1.1."""

import json
import time
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Final, NamedTuple

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

_HOP_BY_HOP: Final = {"connection", "keep-alive", "transfer-encoding", "upgrade", "trailer", "date"}
"""Headers that the server sets itself, whatever an application returns."""

_WITHOUT_BODY: Final = {"204", "304"}


class Response(NamedTuple):
    """Status code, text, and whole seconds before a retry helps; a tuple, because `render` caches by it."""

    status: int
    text: str
    retry_after: int | None = None


class Rendered(NamedTuple):
    """A response in WSGI's form: status line, headers in their order, one JSON object as the body."""

    status: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


@lru_cache(maxsize=256)
def render(response: Response) -> Rendered:
    """Return the response in WSGI's form; the same object for an equal response."""
    body = (json.dumps({"status": response.text}) + "\n").encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    if response.retry_after is not None:
        headers.append(("Retry-After", str(response.retry_after)))
    return Rendered(f"{response.status} {HTTPStatus(response.status).phrase}", tuple(headers), body)


def encode_response(response: Response, *, keep_alive: bool) -> bytes:
    """Return the bytes of a response of our own."""
    return encode(*render(response), keep_alive=keep_alive)


def encode(
    status: str, headers: tuple[tuple[str, str], ...], body: bytes, *, keep_alive: bool, is_head: bool = False
) -> bytes:
    """Return the bytes of a response; raises ValueError if status or headers contain a line feed."""
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
    keep_alive: bool,  # noqa: FBT001  # a cache's key
) -> tuple[bytes, bytes, bool]:
    """Return the head before the date, the head after it, and whether the latter has a Content-Length."""
    kept = [(name, value) for name, value in headers if name.lower() not in _HOP_BY_HOP]
    kept.append(("Connection", "keep-alive" if keep_alive else "close"))
    start = f"HTTP/1.1 {status}\r\nDate: "
    lines = [f"{name}: {value}" for name, value in kept]
    if any("\r" in line or "\n" in line for line in (status, *lines)):
        raise ValueError("a line feed in the head of a response")
    end = "\r\n" + "\r\n".join(lines) + "\r\n"
    has_length = any(name.lower() == "content-length" for name, _ in kept)
    return start.encode("latin-1"), end.encode("latin-1"), has_length
