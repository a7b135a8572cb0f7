"""Copies are counted and conflicts are recorded, on PostgreSQL and on SQLite."""

import hashlib
import json

import pytest

from tests.integration.workers.consuming import work_at_once
from tests.integration.workers.events import deliver, payload_of, said

COUNTED = "SELECT times_received, last_repeated_at IS NULL FROM events_v1"
CONFLICTS = "SELECT body, times_received, message_id FROM event_conflicts"


def message(words="Hello", message_id="m-1", **others):
    body = said(words, **others)
    body["message"]["id"] = message_id
    return body


@pytest.mark.parametrize("batches", [[3], [1, 2], [1, 1, 1], [2, 1]])
def test_copies_are_counted_in_the_events_row_however_batches_divide_them(intake, query, batches):
    for copies in batches:
        assert intake(*[deliver(message()) for _ in range(copies)]) == frozenset()
    assert query("SELECT message_count FROM conversations") == [(1,)]
    assert query(COUNTED) in ([(3, False)], [(3, 0)])
    assert query(CONFLICTS) == []


def test_a_repeated_conflict_is_counted_and_refers_to_the_first_event(intake, query):
    intake(deliver(message("Hello")))
    for words in ("Goodbye", "Goodbye", "Adieu"):
        intake(deliver(message(words)), deliver(message(words)))

    rows = query(
        "SELECT event_conflicts_v1.body_sha256, event_conflicts_v1.times_received, events_v1.times_received,"
        " events_v1.idempotency_key = event_conflicts_v1.idempotency_key"
        " FROM event_conflicts_v1 JOIN events_v1 ON id = event_id"
    )
    assert sorted(rows) == sorted(
        (hashlib.sha256(json.dumps(message(words)).encode()).hexdigest(), deliveries, 1, True)
        for words, deliveries in (("Goodbye", 4), ("Adieu", 2))
    )


def test_copies_conflicts_and_new_events_of_one_batch_are_distinguished(intake, query):
    other = deliver(message("other B", "m-2"))
    intake(deliver(message("A", "m-1")))

    intake(
        deliver(message("other A", "m-1")),
        deliver(message("A", "m-1")),
        deliver(message("B", "m-2")),
        deliver(message("B", "m-2")),
        other,
        deliver(message("A", "m-1")),
        deliver(message("other A", "m-1")),
    )

    assert query("SELECT times_received FROM processed_events ORDER BY id") == [(3,), (2,)]
    conflicts = {bytes(body): (count, message_id) for body, count, message_id in query(CONFLICTS)}
    assert sorted(count for count, _ in conflicts.values()) == [1, 2]
    assert conflicts[other.envelope.body] == (1, other.envelope.message_id)
    assert query("SELECT outcome FROM processed_events") == [("processed",)] * 2
    assert query("SELECT text FROM conversation_messages ORDER BY event_id") == [("A",), ("B",)]


def test_a_changed_copy_of_a_body_with_two_events_conflicts_with_both_events(intake, query):
    kinds = [{"eventType": "Typing"}, {"eventType": "Presence"}]
    body = payload_of("genesys/typing") | {"events": kinds}
    intake(deliver(body))
    intake(deliver(body | {"note": "other"}))
    assert query("SELECT count(*) FROM event_conflicts") == [(2,)]


def test_the_log_line_of_a_batch_has_the_number_of_duplicates_and_conflicts(intake, capsys):
    """Guarantee 3.4."""
    intake(deliver(message("Hello")))
    capsys.readouterr()
    intake(deliver(message("Hello")), deliver(message("Goodbye")), deliver(message("new", "m-2")))
    line = capsys.readouterr().out
    assert "conflicts=1" in line
    assert "duplicates=1" in line
    assert "processed=1" in line
    assert "Goodbye" not in line


def test_concurrent_workers_count_every_copy_and_every_conflict_of_a_key(migrated_url, handlers, query):
    """Guarantee 3.2."""
    bodies = [message(f"words {number % 3}", f"m-{number % 5}") for number in range(15)]

    def work(intake, order):
        for _ in range(4):
            intake(*[deliver(each) for each in bodies[::order]])

    work_at_once(migrated_url, handlers, (1, -1, 1, -1), work)
    [(events, copies)] = query("SELECT count(*), sum(times_received) FROM processed_events")
    [(conflicts, others)] = query("SELECT count(*), sum(times_received) FROM event_conflicts")
    assert (events, conflicts) == (5, 10)
    assert copies + others == 4 * 4 * 15
    assert query("SELECT message_count FROM conversations") == [(5,)]
