"""The journal gives back what it was given, whatever became of its process or its bytes."""

import os
import resource

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook_api.journal.directory import journal_directories
from webhook_api.journal.journal import Journal, JournalFullError
from webhook_api.journal.segment_file import HEADER, Damage, Entry, read_segment, record_header

NOW_US = 1_732_462_000_000_000
LIMIT = 10_000_000


def _journal(root, **changes):
    return Journal(root, **({"max_bytes": LIMIT, "fsync": False, "now_us": NOW_US} | changes))


def _entries(journal):
    return list(read_segment(journal.active.path))


def test_what_was_appended_is_read_back_in_order(tmp_path):
    journal = _journal(tmp_path)
    for number in range(100):
        journal.append(b"p%d" % number, b"body %d" % number)

    assert _entries(journal) == [Entry(b"p%d" % n, b"body %d" % n) for n in range(100)]


def test_a_living_process_keeps_its_directory(tmp_path):
    first, second = _journal(tmp_path), _journal(tmp_path)
    first.append(b"p", b"body")

    assert list(second.adopt()) == []


def test_the_directory_of_a_dead_process_is_adopted_once(tmp_path):
    dead = _journal(tmp_path)
    dead.append(b"p", b"body")
    os.close(dead._lock)  # what the kernel does when a process dies
    one, other = _journal(tmp_path), _journal(tmp_path)

    adopted = list(one.adopt())

    assert list(read_segment(adopted[0].segments[0].path)) == [Entry(b"p", b"body")]
    assert one.size == dead.size
    assert list(other.adopt()) == []


def test_an_adopted_directory_is_removed_when_everything_in_it_is_proven(tmp_path):
    dead = _journal(tmp_path)
    dead.append(b"p", b"body")
    os.close(dead._lock)
    living = _journal(tmp_path)
    [adopted] = living.adopt()
    assert not adopted.release_if_empty()

    living.discard(adopted.segments[0])

    assert adopted.release_if_empty()
    assert journal_directories(tmp_path) == [living.directory]
    assert living.size == 0


def test_a_clean_end_with_nothing_unproven_leaves_no_directory(tmp_path):
    journal = _journal(tmp_path)
    journal.append(b"p", b"body")
    journal.discard(journal.rotate(NOW_US))

    journal.close()

    assert journal_directories(tmp_path) == []


def test_a_clean_end_leaves_what_is_unproven_to_the_next(tmp_path):
    journal = _journal(tmp_path)
    journal.append(b"p", b"body")

    journal.close()

    [adopted] = _journal(tmp_path).adopt()
    assert len(adopted.segments) == 1


def test_the_limit_refuses_and_keeps_nothing_of_what_it_refused(tmp_path):
    journal = _journal(tmp_path, max_bytes=200)
    journal.append(b"p", b"x" * 100)

    with pytest.raises(JournalFullError):
        journal.append(b"p", b"x" * 100)

    assert _entries(journal) == [Entry(b"p", b"x" * 100)]


def test_there_is_room_again_when_a_segment_is_proven(tmp_path):
    journal = _journal(tmp_path, max_bytes=200)
    journal.append(b"p", b"x" * 100)
    journal.discard(journal.rotate(NOW_US))

    journal.append(b"p", b"y" * 100)

    assert _entries(journal) == [Entry(b"p", b"y" * 100)]


def test_a_write_cut_short_by_the_disk_leaves_no_half_record(tmp_path):
    journal = _journal(tmp_path)
    journal.append(b"p", b"first")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (journal.active.size + 20, hard))
    try:
        with pytest.raises(JournalFullError):
            journal.append(b"p", b"x" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    journal.append(b"p", b"second")

    assert _entries(journal) == [Entry(b"p", b"first"), Entry(b"p", b"second")]


def _record(properties, body):
    return record_header(properties, body) + properties + body


def test_a_truncated_last_record_is_damage_and_the_rest_is_read(tmp_path):
    path = tmp_path / "s"
    path.write_bytes(_record(b"p", b"one") + _record(b"p", b"two")[:-1])

    assert list(read_segment(path)) == [
        Entry(b"p", b"one"),
        Damage(HEADER.size + 4, HEADER.size + 3),
    ]


@given(
    bodies=st.lists(st.binary(min_size=1, max_size=80), min_size=1, max_size=8),
    position=st.floats(min_value=0, max_value=0.999),
    flip=st.integers(min_value=1, max_value=255),
)
def test_one_flipped_byte_costs_one_record_and_is_told(tmp_path_factory, bodies, position, flip):
    records = [_record(b"prop", body) for body in bodies]
    data = bytearray(b"".join(records))
    offset = int(position * len(data))
    data[offset] ^= flip
    path = tmp_path_factory.mktemp("journal") / "s"
    path.write_bytes(bytes(data))

    found = list(read_segment(path))

    entries = [record.body for record in found if isinstance(record, Entry)]
    assert any(isinstance(record, Damage) for record in found)
    assert entries in [bodies[:n] + bodies[n + 1 :] for n in range(len(bodies))]


def test_a_damaged_segment_is_kept_aside_for_a_person(tmp_path):
    journal = _journal(tmp_path / "journal")
    journal.append(b"p", b"body")
    segment = journal.rotate(NOW_US)
    segment.is_damaged = True

    journal.discard(segment)

    assert len(list((tmp_path / "damaged").iterdir())) == 1
    assert journal.size == 0
