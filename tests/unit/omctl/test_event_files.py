"""Event bodies are read from a file."""

import io

import click
import pytest

from omctl.event_files import read_bodies


def bodies(raw):
    file = io.BytesIO(raw)
    file.name = "events.json"
    return read_bodies(file)


TWO = [b'{"a": 1}', b'{"b":2}']


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b'\n{"a": 1}\n\n{"b":2}', TWO),
        (b'[{"a": 1}, {"b":2}]', TWO),
        (b'\n [\n  {"a": 1} ,\n  {"b":2}\n] ', TWO),
        (b'[{"a": 1}]\n[{"b":2}]\n', TWO),
        (b'[\n {"a": 1}\n]\n[\n {"b":2}\n]\n', TWO),
        (b'[{"a": 1}][][{"b":2}]', TWO),
        (b'[{"a": 1}]\n{"b":2}\n', TWO),
        (b'{\n  "a": [1,\n 2]\n}\n', [b'{\n  "a": [1,\n 2]\n}']),
        (b"nonsense\n{\n", [b"nonsense", b"{"]),
        *((empty, []) for empty in (b"", b"\n\n", b"[]", b"[\n]")),
    ],
)
def test_bodies_are_read_byte_for_byte_from_lines_arrays_and_documents(raw, expected):
    assert list(bodies(raw)) == expected


@pytest.mark.parametrize(
    "raw",
    [
        b'[{"a": 1},',
        b'{"a":\n',
        b'[{"a": 1} nonsense]',
        b"[\xff]",
        b'[{"a": 1}]]',
        b'[{"a": 1}] nonsense',
        b'[{"a": 1}][{"b":2}',
    ],
)
def test_an_incomplete_array_or_document_is_refused_before_its_first_body(raw):
    with pytest.raises(click.UsageError, match=r"events\.json"):
        next(bodies(raw))
