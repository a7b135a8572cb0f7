"""Render HTTP/1.1 responses."""

from __future__ import annotations

import time
from email.utils import formatdate
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from webhook_api.answer import rendered

if TYPE_CHECKING:
    from webhook_api.answer import Answer

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

_HOP_BY_HOP: Final = {"connection", "keep-alive", "transfer-encoding", "upgrade", "trailer", "date"}
"""The connection's own affair, whatever an application says."""

_WITHOUT_BODY: Final = {"204", "304"}


def render(answer: Answer, *, keep_alive: bool) -> bytes:
    """Return the whole response of an answer."""
    parts = rendered(answer)
    return response_of(parts.status, parts.headers, parts.body, keep_alive=keep_alive)


def response_of(
    status: str, headers: tuple[tuple[str, str], ...], body: bytes, *, keep_alive: bool, is_head: bool = False
) -> bytes:
    """Return a whole response.

    Args:
        status: Code and phrase.
        headers: As an application gives them; a missing Content-Length is added.
        body: All of it.
        keep_alive: What the response says of the connection.
        is_head: Whether only the head is wanted.

    Raises:
        ValueError: Status or headers would break out of the head.
    """
    start, end, has_length = _head_of(status, headers, keep_alive)
    has_body = status[:3] not in _WITHOUT_BODY
    length = b"" if has_length or not has_body else b"Content-Length: %d\r\n" % len(body)
    content = body if has_body and not is_head else b""
    return b"".join((start, date(int(time.time())), end, length, b"\r\n", content))


@lru_cache(maxsize=2)
def date(second: int) -> bytes:
    """Return the Date header's value; rendered once a second."""
    return formatdate(second, usegmt=True).encode()


@lru_cache(maxsize=256)
def _head_of(
    status: str,
    headers: tuple[tuple[str, str], ...],
    keep_alive: bool,  # noqa: FBT001  # a cache's key
) -> tuple[bytes, bytes, bool]:
    """Return what stands before the date, what stands after it, and whether that names the length."""
    kept = [(name, value) for name, value in headers if name.lower() not in _HOP_BY_HOP]
    kept.append(("Connection", "keep-alive" if keep_alive else "close"))
    start = f"HTTP/1.1 {status}\r\nDate: "
    lines = [f"{name}: {value}" for name, value in kept]
    if any("\r" in line or "\n" in line for line in (status, *lines)):
        raise ValueError("a line feed in the head of a response")
    end = "\r\n" + "\r\n".join(lines) + "\r\n"
    has_length = any(name.lower() == "content-length" for name, _ in kept)
    return start.encode("latin-1"), end.encode("latin-1"), has_length
