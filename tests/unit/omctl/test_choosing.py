"""What the command line chooses, and how fast it goes about it."""

import threading
from datetime import UTC, datetime, timedelta

import pytest

from messaging.envelope import generation_of, replay_source
from omctl.moments import read_moment
from omctl.pace import Pace
from workers.parsing import Event, replay_event

NOW = datetime(2026, 5, 15, 14, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("words", "moment"),
    [
        ("90m", NOW - timedelta(minutes=90)),
        ("3d", NOW - timedelta(days=3)),
        ("2026-05-15T12:00", NOW - timedelta(hours=2)),
        ("2026-05-15T14:00+02:00", NOW - timedelta(hours=2)),
    ],
)
def test_a_moment_is_so_long_ago_or_a_date(words, moment):
    assert read_moment(words, NOW) == moment


@pytest.mark.parametrize("words", ["soon", "2w", ""])
def test_anything_else_is_no_moment(words):
    with pytest.raises(ValueError):
        read_moment(words, NOW)


def test_a_cancelled_pace_does_not_wait():
    cancelled, pauses = threading.Event(), []
    pace = Pace(0.001, pauses.append, cancelled)
    pace.wait()
    cancelled.set()
    pace.wait()
    assert pauses == []


def test_without_a_rate_nothing_waits():
    pauses = []
    pace = Pace(0.0, pauses.append, threading.Event())
    for _ in range(10):
        pace.wait()
    assert pauses == []


@pytest.mark.parametrize("source", ["webhook", "replay", "replay:", "replay:XYZ", "replay:" + "a" * 33])
def test_only_a_replay_that_says_so_has_a_generation(source):
    assert generation_of(source) is None


def test_an_event_has_another_key_for_each_generation():
    event = Event("t", "c", 0, "key", "guide")
    assert generation_of(replay_source("1f")) == "1f"
    keys = {replay_event(event, generation).idempotency_key for generation in ("1f", "2e", "1f")}
    assert len(keys) == 2
    assert event.idempotency_key not in keys
