"""Find the bodies in a file: one JSON document, arrays of them, or one a line; each byte for byte."""

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

    One a line is read line by line, however many there are, and what is no JSON is passed on as it is;
    arrays, and documents of several lines, are read whole.

    Raises:
        click.UsageError: An array or a document of several lines breaks off; no body of it was yielded.
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


def _documents_of(raw: bytes, name: str) -> list[bytes]:
    """Return each document, and each member of an array, as it is written; all of them can be read."""
    try:
        text = raw.decode()
        return [text[begin:end].encode() for begin, end in _spans(text)]
    except ValueError as error:
        raise click.UsageError(f"{name}: neither arrays of JSON objects nor one a line: {error}") from None


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield from where to where each document reaches; of arrays, one after the other, their members."""
    at, is_inside = _after(text, 0), False
    while is_inside or at < len(text):
        if text.startswith("]" if is_inside else "[", at):
            is_inside, end = not is_inside, at + 1
        else:
            _, end = _DECODER.raw_decode(text, at)
            yield at, end
        at = _after(text, end)


def _after(text: str, at: int) -> int:
    between = _BETWEEN.match(text, at)
    assert between is not None
    return between.end()


_DECODER: Final = json.JSONDecoder()
