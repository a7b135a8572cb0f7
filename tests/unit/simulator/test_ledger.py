"""The ledger, its file, and its comparison with the tables."""

import json

import pytest

from simulator.ledger import Ledger, LedgerRow, read_ledger
from simulator.settlement import Records, settle
from simulator.traffic import Post

POST = Post(1, "message", b"{}")


def sent(digest, event=None, *, answered=True, attempts=1):
    return LedgerRow(digest, event, "message", 200 if answered else 503, attempts, answered)


def settled(ledger, outcomes=None, dead=(), *, kept=None, queued=None, **more):
    """Compare with records that keep every known body by default."""
    outcomes = {digest: [outcome] for digest, outcome in (outcomes or {}).items()}
    dead_letters = [(digest, "not_json") for digest in dead]
    kept = set(outcomes) if kept is None else kept
    records = Records(outcomes, dead_letters, kept=kept, **more)
    return settle(ledger, records, queued=dead if queued is None else queued)


def test_everything_in_its_place_is_clean():
    ledger = [sent("a", 1), sent("b", 2, attempts=3), sent("c")]
    verdict = settled(ledger, {"a": "processed", "b": "skipped"}, ["c"])
    assert str(verdict) == (
        "sent=5 answered=3 unique=3 processed=1 skipped=1 dead_lettered=1 conflicts=0 lost=0 repeated=0"
    )


@pytest.mark.parametrize("event", [1, None])
def test_an_answered_body_found_nowhere_is_lost(event):
    verdict = settled([sent("a", event)])
    assert verdict.lost == 1


def test_a_body_that_was_never_answered_is_not_lost():
    assert settled([sent("a", 1, answered=False)]).lost == 0


def test_different_content_of_a_known_event_is_a_readable_conflict():
    ledger = [sent("a", 1), sent("a2", 1)]
    verdict = settled(ledger, {"a2": "processed"}, kept={"a", "a2"}, conflicts={"a"})
    assert (verdict.unique, verdict.processed, verdict.conflicts) == (1, 1, 1)
    assert (verdict.lost, verdict.repeated) == (0, 0)


def test_an_answered_body_that_can_no_longer_be_read_is_lost_although_its_event_is_known():
    assert settled([sent("a", 1), sent("a2", 1)], {"a2": "processed"}).lost == 1
    assert settled([sent("a", 1)], {"a": "processed"}, kept=set()).lost == 1


def test_a_recorded_dead_letter_that_is_not_in_the_queue_is_lost():
    assert settled([sent("a")], dead=["a"], queued=[]).lost == 1


def test_two_rows_for_one_event_are_a_repeated_effect():
    verdict = settled([sent("a", 1), sent("a2", 1)], {"a": "processed", "a2": "processed"})
    assert verdict.repeated == 1


def test_a_count_above_its_events_is_repeated_and_one_below_is_lost():
    verdict = settled([], deviations=[3, -1, 0])
    assert (verdict.lost, verdict.repeated) == (1, 3)


def test_rows_of_other_senders_do_not_count():
    verdict = settled([sent("a", 1)], {"a": "processed", "z": "processed"}, ["y"])
    assert (verdict.processed, verdict.dead_lettered) == (1, 0)


def test_the_last_line_of_a_body_counts(tmp_path):
    path = tmp_path / "ledger.jsonl"
    rows = [sent("a", 1, answered=False), sent("b", 2), sent("a", 1, attempts=2)]
    path.write_text("".join(row.to_line() for row in rows))
    assert read_ledger(path) == [rows[2], rows[1]]
    fields = {"body_sha256", "event", "kind", "status", "attempts", "answered"}
    assert set(json.loads(rows[0].to_line())) == fields


def test_the_file_of_a_run_in_progress_adds_up_the_requests_of_each_body(tmp_path):
    path = tmp_path / "ledger.jsonl"
    with Ledger(path) as ledger:
        ledger.add(POST, status=503, attempts=6)
        ledger.add(POST, status=200, attempts=1)
        ledger.add(Post(None, "malformed:nan", b"{"), status=200, attempts=1)
        rows = read_ledger(path)
    assert [(row.event, row.attempts, row.answered) for row in rows] == [(1, 7, True), (None, 1, True)]


def test_a_failed_redelivery_does_not_erase_the_answer():
    ledger = Ledger(None)
    ledger.add(POST, status=200, attempts=1)
    ledger.add(POST, status=None, attempts=6)
    (row,) = ledger.rows.values()
    assert row.answered
    assert row.status is None
