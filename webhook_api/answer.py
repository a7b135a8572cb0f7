"""Say what a sender is told: a status, one JSON object, and when there is a point in coming again."""

from __future__ import annotations

import json
from functools import lru_cache
from http import HTTPStatus
from typing import NamedTuple


class Answer(NamedTuple):
    """What the sender is told; a tuple, since each request looks its answer up in a cache.

    Args:
        status: The HTTP status code.
        text: One word or sentence for the answer's body.
        retry_after: Whole seconds, where there is a point in coming again.
    """

    status: int
    text: str
    retry_after: int | None = None


class Rendered(NamedTuple):
    """An answer as WSGI wants it.

    Args:
        status: Code and phrase.
        headers: In the order in which they are sent.
        body: One JSON object and a line feed.
    """

    status: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


@lru_cache(maxsize=256)
def rendered(answer: Answer) -> Rendered:
    """Return the answer as WSGI wants it, the same object for the same answer."""
    body = (json.dumps({"status": answer.text}) + "\n").encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    if answer.retry_after is not None:
        headers.append(("Retry-After", str(answer.retry_after)))
    return Rendered(f"{answer.status} {HTTPStatus(answer.status).phrase}", tuple(headers), body)
