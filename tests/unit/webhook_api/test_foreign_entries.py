"""The journal logs foreign, unreadable or missing files in its directory once, and continues to work."""

import errno
import itertools
import os
import resource
from contextlib import contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.unit.webhook_api.journals import (
    NOW_US,
    close_segment,
    fail,
    journal_in,
    keep,
    left_by_a_dead_process,
)
from webhook_api.journal import Backlog, Entry, list_segments, read_segment


def _named_like_a_segment(home):
    (home / "thing" / "00000001.segment").mkdir(parents=True)
    (home / "thing" / "lock").touch()


def _lock_that_is_a_link(home):
    (home / "thing").mkdir()
    (home / "thing" / "lock").symlink_to("/dev/null")


def _journal_without_its_lock(home):
    directory = left_by_a_dead_process(home, [b"body"])
    (directory / "lock").unlink()
    directory.rename(home / "thing")


def _journal_with_a_foreign_file(home):
    directory = left_by_a_dead_process(home, [])
    (directory / "notes.txt").write_text("not mine")
    directory.rename(home / "thing")


@pytest.mark.parametrize(
    ("put", "reason"),
    [
        (lambda home: (home / "thing").touch(), "not a directory"),
        (lambda home: (home / "thing").mkdir(), "has no lock file and contains 0 bytes of events"),
        (_named_like_a_segment, "contains files that do not belong to the journal"),
        (lambda home: (home / "thing").symlink_to(home.parent), "a symbolic link"),
        (lambda home: (home / "thing").symlink_to(home / "nowhere"), "a symbolic link"),
        (_lock_that_is_a_link, "too many levels of symbolic links"),
        (_journal_without_its_lock, "has no lock file and contains 19 bytes of events"),
        (_journal_with_a_foreign_file, "contains files that do not belong to the journal"),
    ],
)
def test_a_foreign_entry_in_the_journal_is_logged_once_and_ignored(tmp_path, put, reason):
    home = tmp_path / "journal"
    home.mkdir()
    put(home)
    left_by_a_dead_process(home, [b"left by a dead process"])
    journal = journal_in(home)
    with capture_logs() as lines:
        adopted = [entry for segment in journal.tend(0.0) for entry in read_segment(segment.path)]
        journal.tend(10.0)
    assert adopted == [Entry(b"p", b"left by a dead process")]
    assert journal.status()["skipped"] == {"thing": reason}
    assert [line["event"] for line in lines].count("journal_entry_skipped") == 1
    assert os.path.lexists(home / "thing")
    keep(journal, b"and works")


def test_a_skipped_directory_is_adopted_once_it_is_repaired(tmp_path):
    _journal_without_its_lock(tmp_path)
    journal = journal_in(tmp_path)
    assert journal.tend(0.0) == []
    (tmp_path / "thing" / "lock").touch()
    assert len(journal.tend(10.0)) == 1
    assert journal.status()["skipped"] == {}


@contextmanager
def _no_descriptor_free():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _waiting(*segments):
    waiting = Backlog(itertools.count(step=10).__next__)
    waiting.extend(segments)
    return waiting


def test_the_directory_of_a_dead_process_is_adopted_once_a_descriptor_is_free(tmp_path):
    left_by_a_dead_process(tmp_path, [b"body"])
    journal = journal_in(tmp_path)
    with _no_descriptor_free():
        assert journal.tend(0.0) == []
    assert len(journal.tend(10.0)) == 1


def test_a_segment_is_read_again_from_its_beginning_if_an_error_interrupts_reading(tmp_path, monkeypatch):
    journal = journal_in(tmp_path / "journal")
    segment = close_segment(journal, b"one", b"two")
    waiting = _waiting(segment)
    assert waiting.read(1) == ([Entry(b"p", b"one")], None)
    with monkeypatch.context() as failing:
        failing.setattr("webhook_api.journal.segments.crc32", _run_out_of_memory)
        assert waiting.read(10) == ([], None)
    waiting.retry_postponed()
    assert waiting.read(10) == ([Entry(b"p", b"one"), Entry(b"p", b"two")], segment)


def _run_out_of_memory(*_arguments):
    raise MemoryError


def test_a_segment_that_cannot_be_read_does_not_delay_the_next_segment(tmp_path, monkeypatch):
    journal = journal_in(tmp_path / "journal")
    segments = [close_segment(journal, body) for body in (b"one", b"two")]
    waiting = _waiting(*segments)
    read_bytes = Path.read_bytes

    def read(path):
        if path == segments[0].path:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return read_bytes(path)

    with monkeypatch.context() as failing, capture_logs() as lines:
        failing.setattr(Path, "read_bytes", read)
        assert waiting.read(10) == ([], None)
        assert (waiting.postponed, waiting.size) == (1, segments[0].size + segments[1].size)
        assert waiting.read(10) == ([Entry(b"p", b"two")], segments[1])
        waiting.retry_postponed()
        assert waiting.read(10) == ([], None)
    waiting.retry_postponed()
    assert waiting.read(10) == ([Entry(b"p", b"one")], segments[0])
    assert [line["event"] for line in lines] == ["journal_segment_unreadable"]
    assert not segments[0].is_damaged
    assert not (tmp_path / "damaged").exists()


def test_a_deleted_segment_is_logged_and_dropped_from_the_backlog(tmp_path):
    journal = journal_in(tmp_path / "journal")
    segment = close_segment(journal, b"body")
    segment.path.unlink()
    with capture_logs() as lines:
        assert _waiting(segment).read(10) == ([], segment)
    journal.discard(segment)
    assert [line["event"] for line in lines] == ["journal_segment_missing"]
    assert not (tmp_path / "damaged").exists()
    assert journal.status()["bytes"] == 0


@contextmanager
def _no_durable_name():
    with pytest.MonkeyPatch.context() as failing:
        failing.setattr(os, "fsync", fail)
        yield


@pytest.mark.parametrize(
    ("failing", "reason"),
    [(_no_descriptor_free, "too many open files"), (_no_durable_name, "input/output error")],
)
def test_events_are_refused_until_a_segment_can_be_created(tmp_path, failing, reason):
    journal = journal_in(tmp_path, fsync=True)
    keep(journal, b"before")
    with failing():
        closed = journal.rotate(NOW_US)
        journal.tend(0.0)
        assert journal.refusal == f"the journal cannot be written: {reason}"
    assert [segment.path for segment in list_segments(journal.directory)] == [closed.path]
    journal.tend(1.0)
    keep(journal, b"after")
    assert journal.refusal is None
    assert list(read_segment(closed.path)) == [Entry(b"p", b"before")]
    assert list(read_segment(journal.active.path)) == [Entry(b"p", b"after")]


def test_a_proven_segment_that_cannot_be_deleted_is_counted_and_deleted_later(tmp_path, monkeypatch):
    journal = journal_in(tmp_path)
    segment = close_segment(journal, b"body")
    with monkeypatch.context() as failing:
        failing.setattr(Path, "unlink", fail)
        journal.discard(segment)
    assert journal.status()["bytes"] == segment.size
    journal.tend(10.0)
    assert journal.status()["bytes"] == 0
    assert not segment.path.exists()


def test_a_journal_whose_directory_was_removed_creates_a_new_directory(tmp_path):
    journal = journal_in(tmp_path / "journal")
    keep(journal, b"body")
    (tmp_path / "journal").rename(tmp_path / "gone")
    journal.rotate(NOW_US)
    keep(journal, b"and works")
    assert list(read_segment(journal.active.path)) == [Entry(b"p", b"and works")]


def test_a_process_that_cannot_create_a_directory_uses_the_directory_of_a_dead_process(tmp_path, monkeypatch):
    directory = left_by_a_dead_process(tmp_path, [b"body"])
    with monkeypatch.context() as failing:
        failing.setattr(Path, "mkdir", fail)
        journal = journal_in(tmp_path)
    keep(journal, b"new")
    [segment] = journal.tend(0.0)
    assert journal.directory == directory
    assert list(read_segment(segment.path)) == [Entry(b"p", b"body")]
    assert list(read_segment(journal.active.path)) == [Entry(b"p", b"new")]
