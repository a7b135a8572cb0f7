"""With OM_JOURNAL_FSYNC an answer leaves after the flush of what it answers; one flush serves a turn."""

import asyncio
import errno
import os
from pathlib import Path

import pytest

from messaging.clock import SystemClock
from messaging.connection import NO_LIMIT
from messaging.envelope import WEBHOOK, encode_properties
from tests.unit.webhook_api.journals import journal_in
from webhook_api.handover.handover import Handover
from webhook_api.handover.oversized import Oversized
from webhook_api.journal import JournalFullError

PROPERTIES = encode_properties("message-1", 1, "request-1", WEBHOOK)


class NoBroker:
    """An outlet whose broker is away."""

    is_open = is_reachable = False
    buffered_bytes = 0
    size_limit = NO_LIMIT
    state = "away"
    unproven = ()

    def flush(self):
        pass


@pytest.fixture
def happened(monkeypatch):
    """What happened, in order; flushes are real."""
    happened = []
    flush = os.fdatasync

    def told(descriptor):
        flush(descriptor)
        happened.append("flushed")

    monkeypatch.setattr(os, "fdatasync", told)
    return happened


@pytest.mark.parametrize(
    ("fsync", "expected"),
    [(True, ["flushed", "answered", "answered"]), (False, ["answered", "answered"])],
)
def test_the_answers_of_a_turn_leave_after_one_flush_if_any(tmp_path, happened, fsync, expected):
    loop = asyncio.new_event_loop()
    clock = SystemClock()
    journal = journal_in(tmp_path, fsync=fsync)
    handover = _handover(loop, journal, clock)
    for _ in range(2):
        handover.accept(PROPERTIES, b"{}")
        handover.after_sync(lambda is_durable: happened.append("answered" if is_durable else "refused"))
    assert not happened
    _turn(loop)
    journal.close()
    loop.close()
    assert happened[: len(expected)] == expected


def test_after_a_failed_flush_nothing_is_taken_in_until_the_disk_flushes_again(tmp_path, monkeypatch):
    loop = asyncio.new_event_loop()
    clock = SystemClock()
    journal = journal_in(tmp_path, fsync=True)
    handover = _handover(loop, journal, clock)
    outcomes = []

    def take_in():
        handover.accept(PROPERTIES, b"{}")
        handover.after_sync(outcomes.append)
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
    loop.close()

    assert outcomes == [False, True]
    assert fresh != suspect
    assert journal.refusal is None
    assert handover.status()["flush_failures"] == 1


def _handover(loop, journal, clock):
    return Handover(loop, journal, NoBroker(), Oversized(Path("unused")), clock)


def _turn(loop):
    loop.call_soon(loop.stop)
    loop.run_forever()


def _fails(_descriptor):
    raise OSError(errno.EIO, os.strerror(errno.EIO))
