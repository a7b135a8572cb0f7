import io

import click
import pytest

from omctl.event_files import read_bodies


def bodies(raw):
    file = io.BytesIO(raw)
    file.name = "events.json"
    return read_bodies(file)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a": 1}\n{"b":2}\n',
        b'\n{"a": 1}\n\n{"b":2}',
        b'[{"a": 1}, {"b":2}]',
        b'[\n  {"a": 1},\n  {"b":2}\n]\n',
        b'\n [ {"a": 1} , {"b":2} ] ',
        b'[{"a": 1}]\n[{"b":2}]\n',
        b'[\n {"a": 1}\n]\n[\n {"b":2}\n]\n',
        b'[{"a": 1}][][{"b":2}]',
        b'[{"a": 1}]\n{"b":2}\n',
    ],
)
def test_every_form_of_a_file_gives_its_bodies_byte_for_byte(raw):
    assert list(bodies(raw)) == [b'{"a": 1}', b'{"b":2}']


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b'{\n  "a": [1,\n 2]\n}\n', [b'{\n  "a": [1,\n 2]\n}']),
        (b"nonsense\n{\n", [b"nonsense", b"{"]),
        *((empty, []) for empty in (b"", b"\n\n", b"[]", b"[\n]")),
    ],
)
def test_a_document_of_many_lines_is_one_body_and_no_json_is_passed_on_line_by_line(raw, expected):
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
def test_an_array_or_a_document_that_breaks_off_is_wrong_usage_and_no_body_of_it_comes_before(raw):
    with pytest.raises(click.UsageError, match=r"events\.json"):
        next(bodies(raw))
