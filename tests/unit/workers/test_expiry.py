from datetime import UTC, datetime, timedelta

from workers.retain.expiry import expiries

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOW_US = int(NOW.timestamp()) * 1_000_000


def test_bodies_and_those_of_conflicts_are_kept_equally_long():
    assert [(each.kept.name, each.older_than) for each in expiries(NOW_US, 30)] == [
        ("event_payloads", NOW - timedelta(days=30)),
        ("duplicate_events", NOW - timedelta(days=30)),
    ]
