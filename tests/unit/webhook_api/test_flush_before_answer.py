"""With OM_JOURNAL_FSYNC an answer leaves after the flush of what it answers; one flush serves a turn."""

import asyncio
import os

import pytest

from messaging.clock import SystemClock
from messaging.envelope import WEBHOOK, encode_properties
from webhook_api.handover.handover import Handover
from webhook_api.journal.journal import Journal

PROPERTIES = encode_properties("message-1", 1, "request-1", WEBHOOK)


class NoBroker:
    """A publisher whose broker is away."""

    ready = blocked = False
    buffered_bytes = 0

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
    journal = Journal(tmp_path, max_bytes=1_000_000, fsync=fsync, now_us=clock.now_us())
    handover = Handover(loop, journal, NoBroker(), clock, lambda _count: None)
    for _ in range(2):
        handover.accept(PROPERTIES, b"{}")
        handover.after_sync(lambda: happened.append("answered"))
    assert not happened
    loop.call_soon(loop.stop)
    loop.run_forever()
    journal.close()
    loop.close()
    assert happened[: len(expected)] == expected
