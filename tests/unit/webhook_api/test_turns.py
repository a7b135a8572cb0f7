"""The events of one loop iteration share one write and one flush before they are answered."""

import errno
import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from messaging.clock import SystemClock
from messaging.envelope import WEBHOOK, encode_properties
from tests.fakes.link import FakeLink
from tests.unit.webhook_api.journals import journal_in
from webhook_api.answers import Answers
from webhook_api.journal import JournalFullError, read_segment
from webhook_api.relay.oversized import Oversized
from webhook_api.relay.relay import Relay

PROPERTIES = encode_properties("message-1", 1, "request-1", WEBHOOK)


@pytest.fixture
def happened(monkeypatch):
    """Steps in their order; flushes are real."""
    happened = []
    flush = os.fdatasync

    def record(descriptor):
        flush(descriptor)
        happened.append("flushed")

    monkeypatch.setattr(os, "fdatasync", record)
    return happened


@pytest.mark.parametrize(
    ("fsync", "expected"),
    [(True, ["flushed", "answered", "answered"]), (False, ["answered", "answered"])],
)
def test_the_answers_of_a_turn_are_sent_after_one_flush_if_fsync_is_on(
    loop, tmp_path, happened, fsync, expected
):
    journal = journal_in(tmp_path, fsync=fsync)
    relay = _relay(loop, journal, FakeLink(is_open=False))
    for _ in range(2):
        _take_in(relay, happened, b"{}")
    assert not happened
    _turn(loop)
    journal.close()
    assert happened[: len(expected)] == expected


def test_after_a_failed_flush_events_are_refused_until_a_flush_succeeds(loop, tmp_path, monkeypatch):
    journal = journal_in(tmp_path, fsync=True)
    relay = _relay(loop, journal, FakeLink(is_open=False))
    outcomes = []

    def take_in():
        relay.accept(PROPERTIES, b"{}")
        relay.on_durable(outcomes.append)
        path = journal.active.path
        _turn(loop)
        return path

    with monkeypatch.context() as failing:
        failing.setattr(os, "fdatasync", _fails)
        suspect = take_in()
        journal.tend(1.0)
        with pytest.raises(JournalFullError):
            take_in()
        assert journal.refusal == "the journal cannot be written: input/output error"
    journal.tend(2.0)
    fresh = take_in()

    assert outcomes == [False, True]
    assert fresh != suspect
    assert journal.refusal is None


def test_the_events_of_a_turn_are_written_together_then_published_then_answered(loop, tmp_path, monkeypatch):
    happened = []
    relay, journal = _live(loop, tmp_path, happened)
    write = os.write
    monkeypatch.setattr(os, "write", lambda *args: happened.append("written") or write(*args))

    _take_in(relay, happened, b"1")
    # Requests read by the next poll of the sockets belong to the same turn.
    loop.call_soon(_take_in, relay, happened, b"2")
    assert not happened
    _turn(loop)

    assert happened == ["written", "1", "2", "sent", "answered", "answered"]
    assert [entry.body for entry in read_segment(journal.active.path)] == [b"1", b"2"]


@pytest.mark.parametrize("way", ["cut short", "refused"])
def test_a_turn_that_cannot_be_written_is_refused_and_not_published(loop, tmp_path, monkeypatch, way):
    happened = []
    relay, journal = _live(loop, tmp_path, happened)
    write = os.write

    with monkeypatch.context() as failing, capture_logs() as lines:
        failing.setattr(
            os, "write", lambda fd, data: write(fd, data[:-1]) if way == "cut short" else _fails(fd)
        )
        for body in (b"1", b"2"):
            _take_in(relay, happened, body)
        _turn(loop)
    _take_in(relay, happened, b"3")
    _turn(loop)
    size = journal.active.path.stat().st_size

    assert happened == ["sent", "refused", "refused", "3", "sent", "answered"]
    assert [entry.body for entry in read_segment(journal.active.path)] == [b"3"]
    assert journal.status()["bytes"] == size
    assert [line["event"] for line in lines] == ["journal_full"]


def test_every_request_of_a_turn_that_fails_is_answered(loop, tmp_path):
    happened = []
    relay, _ = _live(loop, tmp_path, happened)
    loop.set_exception_handler(lambda *_: happened.append("logged"))
    relay._link.publish = _fails
    _take_in(relay, happened, b"1")
    _turn(loop)

    assert happened == ["refused", "logged"]


def _take_in(relay, happened, body):
    relay.accept(PROPERTIES, body)
    relay.on_durable(lambda is_durable: happened.append("answered" if is_durable else "refused"))


def _live(loop, directory, happened):
    journal = journal_in(directory)
    relay = _relay(loop, journal, FakeLink(happened))
    relay._set_live(True)
    return relay, journal


def _relay(loop, journal, link):
    clock = SystemClock()
    return Relay(loop, journal, link, Oversized(Path("unused")), clock, Answers(clock))


def _turn(loop):
    """Let the loop poll its sockets twice."""
    for _ in range(3):
        loop.call_soon(loop.stop)
        loop.run_forever()


def _fails(*_):
    raise OSError(errno.EIO, os.strerror(errno.EIO))
