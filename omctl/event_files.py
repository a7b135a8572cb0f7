"""Read event bodies, byte for byte, from a file with JSON documents, JSON arrays or one body per line."""

import json
import re
from collections.abc import Iterator
from itertools import chain
from typing import BinaryIO, Final

import click

_SEPARATOR: Final = re.compile(r"[\s,]*")
_DECODER: Final = json.JSONDecoder()


def read_bodies(file: BinaryIO) -> Iterator[bytes]:
    """Yield the bodies in *file* in order.

    A file with one body per line is read line by line; a line that is not JSON is yielded unchanged. Arrays
    and multi-line documents are read whole; a malformed one raises UsageError before any body is yielded.
    """
    first = next(filter(bytes.strip, file), b"")
    if _is_body(first.strip()):
        yield from filter(None, map(bytes.strip, chain([first], file)))
        return
    try:
        text = (first + file.read()).decode()
        spans = list(_find_spans(text))
    except ValueError as error:
        reason = f"neither arrays of JSON objects nor one object per line: {error}"
        raise click.UsageError(f"{getattr(file, 'name', '-')}: {reason}") from None
    yield from (text[start:end].encode() for start, end in spans)


def _is_body(line: bytes) -> bool:
    """Return whether a file's first *line* (an object, or not JSON) shows that it has one body per line."""
    try:
        return not line.startswith((b"{", b"[")) or isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _find_spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield the start and end of each JSON document, or of each element if the document is an array."""
    at, is_inside = 0, False
    while (at := next(_SEPARATOR.finditer(text, at)).end()) < len(text) or is_inside:
        if text.startswith("]" if is_inside else "[", at):
            is_inside, at = not is_inside, at + 1
        else:
            _, end = _DECODER.raw_decode(text, at)
            yield at, end
            at = end
