"""What the ledger and the tables say together."""

import json

import pytest

from simulator.ledger import (
    DeadLetterRow,
    Effect,
    LedgerRow,
    LedgerVerdict,
    ProcessedRow,
    read_ledger,
    reconcile_ledger,
)


def sent(digest, event=None, *, answered=True, attempts=1):
    return LedgerRow(digest, event, "message", 200 if answered else 503, attempts, answered)


def processed(digest, outcome="processed"):
    return ProcessedRow(digest, "conversation", outcome, "openmessaging:conversation:message")


def dead(digest):
    return DeadLetterRow(digest, "not_json")


def test_everything_in_its_place_is_clean():
    ledger = [sent("a", 1), sent("b", 2, attempts=3), sent("c")]
    verdict = reconcile_ledger(ledger, [processed("a"), processed("b", "skipped")], [dead("c")])
    assert verdict == LedgerVerdict(
        sent=5, answered=3, unique=3, processed=1, skipped=1, dead_lettered=1, lost=0, repeated=0
    )
    assert verdict.is_clean


@pytest.mark.parametrize("event", [1, None])
def test_an_answered_body_found_nowhere_is_lost(event):
    verdict = reconcile_ledger([sent("a", event)], [], [])
    assert verdict.lost == 1
    assert not verdict.is_clean


def test_a_body_that_was_never_answered_is_not_lost():
    assert reconcile_ledger([sent("a", 1, answered=False)], [], []).is_clean


def test_a_redelivery_with_other_bytes_is_found_by_either_digest():
    verdict = reconcile_ledger([sent("a", 1), sent("a2", 1)], [processed("a2")], [])
    assert (verdict.unique, verdict.processed, verdict.lost, verdict.repeated) == (1, 1, 0, 0)


def test_two_rows_for_one_event_are_a_repeated_effect():
    verdict = reconcile_ledger([sent("a", 1), sent("a2", 1)], [processed("a"), processed("a2")], [])
    assert verdict.repeated == 1


def test_a_count_above_its_events_is_repeated_and_one_below_is_lost():
    effects = [Effect("messages", expected=2, actual=5), Effect("events", expected=4, actual=3)]
    verdict = reconcile_ledger([], [], [], effects)
    assert (verdict.lost, verdict.repeated) == (1, 3)


def test_rows_of_other_senders_do_not_count():
    verdict = reconcile_ledger([sent("a", 1)], [processed("a"), processed("z")], [dead("y")])
    assert (verdict.processed, verdict.dead_lettered) == (1, 0)


def test_the_verdict_reads_as_one_line():
    line = str(reconcile_ledger([sent("a", 1)], [processed("a")], []))
    assert line == "sent=1 answered=1 unique=1 processed=1 skipped=0 dead_lettered=0 lost=0 repeated=0"


def test_the_newest_line_of_a_body_counts(tmp_path):
    path = tmp_path / "ledger.jsonl"
    rows = [sent("a", 1, answered=False), sent("b", 2), sent("a", 1, attempts=2)]
    path.write_text("".join(row.to_line() for row in rows))
    assert read_ledger(path) == [rows[2], rows[1]]
    assert set(json.loads(rows[0].to_line())) == {
        "body_sha256",
        "event",
        "kind",
        "status",
        "attempts",
        "answered",
    }
