"""Split a file into event bodies, byte for byte: one JSON document, arrays, or one body a line."""

import json
import re
from collections.abc import Iterator
from itertools import chain
from typing import BinaryIO, Final

import click

_SEPARATOR: Final = re.compile(r"[\s,]*")
_DECODER: Final = json.JSONDecoder()


def read_bodies(file: BinaryIO) -> Iterator[bytes]:
    """Yield the bodies of *file* in order.

    A file with one body a line is read line by line; a line that is not JSON is yielded unchanged. Arrays and
    multi-line documents are read whole; an incomplete one raises UsageError before any body is yielded.
    """
    first = next(filter(bytes.strip, file), b"")
    if _is_body(first):
        yield from filter(None, map(bytes.strip, chain([first], file)))
    else:
        yield from _split_documents(first + file.read(), getattr(file, "name", "-"))


def _is_body(line: bytes) -> bool:
    """Return whether the first line is a complete body, or is not JSON at all."""
    stripped = line.strip()
    if not stripped.startswith((b"{", b"[")):
        return True
    try:
        return isinstance(json.loads(stripped), dict)
    except ValueError:
        return False


def _split_documents(raw: bytes, name: str) -> list[bytes]:
    """Return each document, and each member of an array, as it is written."""
    try:
        text = raw.decode()
        return [text[start:end].encode() for start, end in _find_spans(text)]
    except ValueError as error:
        raise click.UsageError(
            f"{name}: neither arrays of JSON objects nor one object a line: {error}"
        ) from None


def _find_spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield the start and end of each document, or of each member if the document is an array."""
    at, is_inside = _skip(text, 0), False
    while is_inside or at < len(text):
        if text.startswith("]" if is_inside else "[", at):
            is_inside, end = not is_inside, at + 1
        else:
            _, end = _DECODER.raw_decode(text, at)
            yield at, end
        at = _skip(text, end)


def _skip(text: str, at: int) -> int:
    separator = _SEPARATOR.match(text, at)
    assert separator is not None
    return separator.end()
