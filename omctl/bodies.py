"""Find the bodies in a file: one JSON document, an array of them, or one a line; each byte for byte."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

_BETWEEN: Final = re.compile(r"[\s,]*")


def bodies_of(file: BinaryIO) -> Iterator[bytes]:
    """Yield the bodies of *file*, in their order.

    One a line is read line by line, however many there are, and what is no JSON is passed on as it is; an
    array, or a document of several lines, is read whole.
    """
    first = file.readline()
    while first and not first.strip():
        first = file.readline()
    if first and _is_whole(first):
        yield first.strip()
        yield from (line.strip() for line in file if line.strip())
    elif first:
        yield from _documents_of(first + file.read(), getattr(file, "name", "-"))


def _is_whole(line: bytes) -> bool:
    """Tell whether a first line is a body by itself, or no JSON at all."""
    stripped = line.strip()
    if not stripped.startswith((b"{", b"[")):
        return True
    try:
        return isinstance(json.loads(stripped), dict)
    except ValueError:
        return False


def _documents_of(raw: bytes, name: str) -> Iterator[bytes]:
    """Yield each member of an array, or each document, as it is written."""
    try:
        text = raw.decode()
        at = _after(text, 0)
        is_array = text[at] == "["
        at = _after(text, at + is_array)
        while not text.startswith("]", at) if is_array else at < len(text):
            _, end = _DECODER.raw_decode(text, at)
            yield text[at:end].encode()
            at = _after(text, end)
    except ValueError as error:
        raise click.UsageError(f"{name}: neither an array of JSON objects nor one a line: {error}") from None


def _after(text: str, at: int) -> int:
    between = _BETWEEN.match(text, at)
    assert between is not None
    return between.end()


_DECODER: Final = json.JSONDecoder()
