"""The events of one loop iteration share one write and one flush before they are answered."""

import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from messaging.clock import SystemClock
from tests.fakes.link import FakeLink
from tests.unit.webhook_api.journals import PROPERTIES, fail, journal_in
from webhook_api.answers import Answers
from webhook_api.journal import JournalFullError, read_segment
from webhook_api.relay.oversized import Oversized
from webhook_api.relay.relay import Relay


class Turns:
    """A relay whose steps are recorded in order."""

    def __init__(self, loop, directory, *, is_live=True, fsync=False):
        clock, self._loop, self.steps = SystemClock(), loop, []
        self.journal = journal_in(directory, fsync=fsync)
        link = FakeLink(self.steps, is_open=is_live)
        self.relay = Relay(loop, self.journal, link, Oversized(Path("unused")), clock, Answers(clock))
        self.relay._set_live(is_live)

    def accept(self, body=b"{}"):
        self.relay.accept(PROPERTIES, body)
        self.relay.on_durable(lambda durable: self.steps.append("answered" if durable else "refused"))

    def turn(self):
        """Let the loop poll its sockets twice."""
        for _ in range(3):
            self._loop.call_soon(self._loop.stop)
            self._loop.run_forever()

    def written(self):
        return [entry.body for entry in read_segment(self.journal.active.path)]


@pytest.mark.parametrize(
    ("fsync", "expected"),
    [(True, ["flushed", "answered", "answered"]), (False, ["answered", "answered"])],
)
def test_the_requests_of_a_turn_are_answered_after_one_common_flush(
    loop, tmp_path, monkeypatch, fsync, expected
):
    turns = Turns(loop, tmp_path, is_live=False, fsync=fsync)
    flush = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda fd: flush(fd) or turns.steps.append("flushed"))
    for _ in range(2):
        turns.accept()
    assert not turns.steps
    turns.turn()
    turns.journal.close()
    assert turns.steps[: len(expected)] == expected


def test_after_a_failed_flush_events_are_refused_until_a_flush_succeeds(loop, tmp_path, monkeypatch):
    turns = Turns(loop, tmp_path, is_live=False, fsync=True)
    journal = turns.journal

    def accept():
        turns.accept()
        path = journal.active.path
        turns.turn()
        return path

    with monkeypatch.context() as failing:
        failing.setattr(os, "fdatasync", fail)
        suspect = accept()
        journal.tend(1.0)
        with pytest.raises(JournalFullError):
            accept()
        assert journal.refusal == "the journal cannot be written: input/output error"
    journal.tend(2.0)
    fresh = accept()
    assert turns.steps == ["refused", "answered"]
    assert fresh != suspect
    assert journal.refusal is None


def test_the_events_of_a_turn_are_written_together_then_published_then_answered(loop, tmp_path, monkeypatch):
    """Guarantee 2.1."""
    turns = Turns(loop, tmp_path)
    write = os.write
    monkeypatch.setattr(os, "write", lambda *args: turns.steps.append("written") or write(*args))
    turns.accept(b"1")
    # Requests read by the next poll of the sockets belong to the same turn.
    loop.call_soon(turns.accept, b"2")
    assert not turns.steps
    turns.turn()
    assert turns.steps == ["written", "1", "2", "sent", "answered", "answered"]
    assert turns.written() == [b"1", b"2"]


@pytest.mark.parametrize("is_partial", [True, False])
def test_a_turn_that_cannot_be_written_is_refused_and_not_published(loop, tmp_path, monkeypatch, is_partial):
    turns = Turns(loop, tmp_path)
    write = os.write
    with monkeypatch.context() as failing, capture_logs() as lines:
        failing.setattr(os, "write", lambda fd, data: write(fd, data[:-1]) if is_partial else fail())
        for body in (b"1", b"2"):
            turns.accept(body)
        turns.turn()
    turns.accept(b"3")
    turns.turn()
    size = turns.journal.active.path.stat().st_size
    assert turns.steps == ["sent", "refused", "refused", "3", "sent", "answered"]
    assert turns.written() == [b"3"]
    assert turns.journal.status()["bytes"] == size
    assert [line["event"] for line in lines] == ["journal_full"]


@pytest.mark.parametrize("failing_call", ["write", "fdatasync"])
def test_only_webhooks_that_are_durable_are_counted_as_accepted(loop, tmp_path, monkeypatch, failing_call):
    turns = Turns(loop, tmp_path, fsync=True)

    def turn():
        turns.accept()
        turns.relay.accept_canary(PROPERTIES, b"{}")
        turns.turn()

    turn()
    with monkeypatch.context() as failing:
        failing.setattr(os, failing_call, fail)
        turn()
    assert turns.steps.count("refused") == 1
    assert turns.relay.accepted == 1


def test_after_a_partial_write_that_cannot_be_undone_the_segment_is_closed(loop, tmp_path, monkeypatch):
    turns = Turns(loop, tmp_path)
    torn, write = turns.journal.active.path, os.write
    with monkeypatch.context() as failing, capture_logs():
        failing.setattr(os, "write", lambda fd, data: write(fd, data[:-1]))
        failing.setattr(os, "ftruncate", fail)
        turns.accept(b"1")
        turns.turn()
    turns.accept(b"2")
    turns.turn()
    assert turns.written() == [b"2"]
    assert turns.journal.active.path != torn
    held = sum(path.stat().st_size for path in torn.parent.glob(f"*{torn.suffix}"))
    assert turns.journal.status()["bytes"] == held


def test_a_request_is_answered_even_if_publishing_its_turn_fails(loop, tmp_path):
    turns = Turns(loop, tmp_path)
    loop.set_exception_handler(lambda *_: turns.steps.append("logged"))
    turns.relay._link.publish = fail
    turns.accept(b"1")
    turns.turn()
    assert turns.steps == ["refused", "logged"]
