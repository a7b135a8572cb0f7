"""Render answers as HTTP/1.1 responses."""

from __future__ import annotations

import time
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from webhook_api.ingest import body_of

if TYPE_CHECKING:
    from webhook_api.ingest import Answer

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


def render(answer: Answer, *, keep_alive: bool) -> bytes:
    """Return the whole response to a webhook."""
    head, tail = _parts(answer, keep_alive)
    return b"".join((head, date(int(time.time())), tail))


@lru_cache(maxsize=2)
def date(second: int) -> bytes:
    """Return the Date header's value; rendered once a second."""
    return formatdate(second, usegmt=True).encode()


def head_of(status: str, headers: list[tuple[str, str]], *, keep_alive: bool) -> bytes:
    """Return a response's head for a status line and headers as WSGI gives them."""
    lines = [f"HTTP/1.1 {status}", f"Date: {date(int(time.time())).decode()}"]
    lines += [f"{name}: {value}" for name, value in headers]
    lines.append(f"Connection: {_connection(keep_alive)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


@lru_cache(maxsize=256)
def _parts(answer: Answer, keep_alive: bool) -> tuple[bytes, bytes]:  # noqa: FBT001  # a cache's key
    body = body_of(answer).encode()
    retry = f"Retry-After: {answer.retry_after}\r\n" if answer.retry_after is not None else ""
    head = f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}\r\nDate: "
    tail = (
        f"\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"{retry}Connection: {_connection(keep_alive)}\r\n\r\n"
    )
    return head.encode(), tail.encode() + body


def _connection(keep_alive: bool) -> str:  # noqa: FBT001  # says what it asks
    return "keep-alive" if keep_alive else "close"
