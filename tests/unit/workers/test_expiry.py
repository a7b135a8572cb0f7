from datetime import UTC, datetime, timedelta

from workers.retain.retaining import expiries

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOW_US = int(NOW.timestamp()) * 1_000_000


def test_bodies_have_their_days_and_events_theirs():
    found = expiries(NOW_US, payload_days=7, event_days=30)
    ages = {table.table.name: NOW - older_than for table, older_than in found}
    bodies = dict.fromkeys(
        ("event_payloads", "duplicate_events", "discarded_dead_letters"), timedelta(days=7)
    )
    assert ages == dict.fromkeys(ages, timedelta(days=30)) | bodies
    assert {"processed_events", "outbox", "conversations"} < ages.keys()
