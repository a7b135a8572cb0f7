"""The journal returns every event that was appended, even after a crash or next to damaged records."""

import os
import random
import shutil
from bisect import bisect_right
from pathlib import Path

import pytest

from tests.unit.webhook_api.journals import close_segment, die, fail, journal_in, keep, left_by_a_dead_process
from webhook_api.journal import (
    Damage,
    Entry,
    encode_header,
    journal_directories,
    process_directory,
    read_segment,
)
from webhook_api.journal.directory import create_directory, segment_path
from webhook_api.journal.segments import HEADER, MAGIC

DESCRIPTORS = Path("/proc/self/fd")


def test_the_segments_of_a_dead_process_are_adopted_by_one_process(tmp_path):
    """Guarantee 2.4."""
    left_by_a_dead_process(tmp_path, [b"one", b"two"])
    one, other = journal_in(tmp_path), journal_in(tmp_path)
    [segment] = one.tend(0.0)
    assert list(read_segment(segment.path)) == [Entry(b"p", b"one"), Entry(b"p", b"two")]
    assert one.status()["bytes"] == segment.size
    assert other.tend(0.0) == []
    assert set(journal_directories(tmp_path)) == {one.directory, other.directory}
    die(one)
    [again] = other.tend(6.0)
    assert [entry.body for entry in read_segment(again.path)] == [b"one", b"two"]


@pytest.mark.parametrize("is_proven", [True, False])
def test_a_closed_journal_leaves_only_unproven_segments_behind(tmp_path, is_proven):
    journal = journal_in(tmp_path)
    keep(journal, b"body")
    if is_proven:
        journal.discard(close_segment(journal))
    journal.close()
    assert len(journal_directories(tmp_path)) == (not is_proven)
    assert len(journal_in(tmp_path).tend(0.0)) == (not is_proven)


def test_segments_that_could_not_be_listed_are_not_overwritten(tmp_path, monkeypatch):
    root = tmp_path / "journal"
    left = left_by_a_dead_process(root, [b"one"])
    shutil.copy(left / "00000001.segment", left / "00000002.segment")
    with monkeypatch.context() as patch:
        patch.setattr(process_directory, "create_directory", fail)
        patch.setattr(process_directory, "list_segments", fail)
        journal = journal_in(root)
    left_by_a_dead_process(tmp_path, [b"two"]).rename(root / "another")
    segments = [*journal.tend(0.0), *journal.tend(6.0)]
    bodies = [entry.body for segment in segments for entry in read_segment(segment.path)]
    assert sorted(bodies) == [b"one", b"one", b"two"]


@pytest.mark.parametrize("call", ["fcntl.flock", "pathlib.Path.rename"])
def test_a_directory_that_cannot_be_created_leaves_no_file_and_no_descriptor(tmp_path, monkeypatch, call):
    before = len(list(DESCRIPTORS.iterdir()))
    with monkeypatch.context() as patch:
        patch.setattr(call, fail)
        with pytest.raises(OSError, match="Input/output error"):
            create_directory(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert len(list(DESCRIPTORS.iterdir())) == before


RECORD = encode_header(b"p", b"one") + b"p" + b"one"


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (RECORD + RECORD[:-1], [Entry(b"p", b"one"), Damage(len(RECORD), len(RECORD) - 1)]),
        (MAGIC + bytes(HEADER.size), [Damage(0, HEADER.size + 4)]),
    ],
    ids=["a last record cut short", "zeros behind a record's first bytes"],
)
def test_an_incomplete_record_is_reported_as_damage(tmp_path, data, found):
    path = tmp_path / "s"
    path.write_bytes(data)
    assert list(read_segment(path)) == found


def test_a_damaged_segment_is_moved_aside(tmp_path):
    journal = journal_in(tmp_path / "journal")
    segment = close_segment(journal, b"body")
    segment.is_damaged = True
    journal.discard(segment)
    assert len(list((tmp_path / "damaged").iterdir())) == 1
    assert journal.status()["bytes"] == 0


FLIPS = 10_000
EVENTS = [
    (b"p" * (number % 7), b'{"number":%d,"text":"%s"}' % (number, b"x" * (number * 5 % 90)))
    for number in range(40)
]
# This text contains the bytes that a record starts with.
EVENTS.insert(20, (b"p", '{"text":"\u0249OMJ"}'.encode()))


def overwrite(path, offset, byte):
    # Change the file in place, because a file that is rewritten is flushed to disk every time.
    with path.open("r+b", buffering=0) as file:
        os.pwrite(file.fileno(), bytes([byte]), offset)


def test_a_changed_byte_loses_only_the_event_that_contains_it(tmp_path):
    journal = journal_in(tmp_path / "journal")
    path = journal.active.path
    starts = [0]
    for properties, body in EVENTS:
        keep(journal, body, properties)
        starts.append(path.stat().st_size)
    intact = path.read_bytes()
    entries = [Entry(*event) for event in EVENTS]
    assert list(read_segment(path)) == entries
    choose = random.Random(26)
    for _ in range(FLIPS):
        offset = choose.randrange(len(intact))
        overwrite(path, offset, intact[offset] ^ choose.randrange(1, 256))
        hit = bisect_right(starts, offset) - 1
        damage = Damage(starts[hit], starts[hit + 1] - starts[hit])
        assert list(read_segment(path)) == [*entries[:hit], damage, *entries[hit + 1 :]], offset
        overwrite(path, offset, intact[offset])


def test_segments_with_longer_numbers_are_adopted_in_the_order_of_their_numbers(tmp_path):
    left = left_by_a_dead_process(tmp_path, [b"body"])
    numbers = [99_999_999, 100_000_000]
    for size, number in enumerate(numbers, 1):
        segment_path(left, number).write_bytes(b"x" * size)
    (left / "00000001.segment").unlink()
    segments = journal_in(tmp_path).tend(0.0)
    assert [segment.size for segment in segments] == [1, 2]
    assert not left.exists()


def test_the_repr_of_an_entry_does_not_contain_its_body():
    assert "customer" not in repr(Entry(b"p", b"words of a customer"))
