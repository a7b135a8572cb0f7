"""Times, rates and generations from the command line."""

import threading
from datetime import UTC, datetime, timedelta

import pytest

from messaging.envelope import generation_of, replay_source
from omctl.interface import parse_timestamp
from omctl.interventions import RateLimiter
from workers.parsing import Event, replay_event

NOW = datetime(2026, 5, 15, 14, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("90m", NOW - timedelta(minutes=90)),
        ("3d", NOW - timedelta(days=3)),
        ("2026-05-15T12:00", NOW - timedelta(hours=2)),
        ("2026-05-15T14:00+02:00", NOW - timedelta(hours=2)),
    ],
)
def test_a_time_is_an_age_or_a_date(text, time):
    assert parse_timestamp(text, NOW) == time


@pytest.mark.parametrize("text", ["soon", "2w", ""])
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError):
        parse_timestamp(text, NOW)


def test_a_cancelled_rate_limiter_does_not_wait():
    cancelled, pauses = threading.Event(), []
    rate_limiter = RateLimiter(0.001, pauses.append, cancelled)
    rate_limiter.wait()
    cancelled.set()
    rate_limiter.wait()
    assert pauses == []


def test_without_a_rate_there_is_no_wait():
    pauses = []
    rate_limiter = RateLimiter(0.0, pauses.append, threading.Event())
    for _ in range(10):
        rate_limiter.wait()
    assert pauses == []


@pytest.mark.parametrize("source", ["webhook", "replay", "replay:", "replay:XYZ", "replay:" + "a" * 33])
def test_only_a_replay_with_again_has_a_generation(source):
    assert generation_of(source) is None


def test_an_event_has_another_key_for_each_generation():
    event = Event("t", "c", 0, "key", "guide")
    assert generation_of(replay_source("1f")) == "1f"
    keys = {replay_event(event, generation).idempotency_key for generation in ("1f", "2e", "1f")}
    assert len(keys) == 2
    assert event.idempotency_key not in keys
