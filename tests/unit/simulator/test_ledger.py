"""What the ledger and the records say together."""

import json

import pytest

from simulator.ledger import (
    DeadLetterRow,
    Effect,
    LedgerRow,
    LedgerVerdict,
    ProcessedRow,
    Records,
    read_ledger,
    settle,
)


def sent(digest, event=None, *, answered=True, attempts=1):
    return LedgerRow(digest, event, "message", 200 if answered else 503, attempts, answered)


def processed(digest, outcome="processed"):
    return ProcessedRow(digest, "conversation", outcome, "openmessaging:conversation:message")


def settled(ledger, processed=(), dead=(), *, kept=None, letters=None, **more):
    """Settle with records that keep every body that they know, unless told otherwise."""
    dead_letters = [DeadLetterRow(digest, "not_json") for digest in dead]
    kept = {row.body_sha256 for row in processed} if kept is None else kept
    records = Records(processed=processed, dead_letters=dead_letters, kept=kept, **more)
    return settle(ledger, records, letters=dead if letters is None else letters)


def test_everything_in_its_place_is_clean():
    ledger = [sent("a", 1), sent("b", 2, attempts=3), sent("c")]
    verdict = settled(ledger, [processed("a"), processed("b", "skipped")], ["c"])
    assert verdict == LedgerVerdict(
        sent=5,
        answered=3,
        unique=3,
        processed=1,
        skipped=1,
        dead_lettered=1,
        conflicts=0,
        lost=0,
        repeated=0,
    )
    assert verdict.is_clean


@pytest.mark.parametrize("event", [1, None])
def test_an_answered_body_found_nowhere_is_lost(event):
    verdict = settled([sent("a", event)])
    assert verdict.lost == 1
    assert not verdict.is_clean


def test_a_body_that_was_never_answered_is_not_lost():
    assert settled([sent("a", 1, answered=False)]).is_clean


def test_another_content_of_a_known_event_is_a_conflict_and_can_be_read_again():
    ledger = [sent("a", 1), sent("a2", 1)]
    verdict = settled(ledger, [processed("a2")], kept={"a", "a2"}, conflicts={"a"})
    assert (verdict.unique, verdict.processed, verdict.conflicts) == (1, 1, 1)
    assert verdict.is_clean


def test_an_answered_body_that_nobody_can_read_again_is_lost_though_its_event_is_known():
    assert settled([sent("a", 1), sent("a2", 1)], [processed("a2")]).lost == 1
    assert settled([sent("a", 1)], [processed("a")], kept=set()).lost == 1


def test_a_dead_letter_on_record_that_is_not_in_the_queue_is_lost():
    assert settled([sent("a")], dead=["a"], letters=[]).lost == 1


def test_two_rows_for_one_event_are_a_repeated_effect():
    verdict = settled([sent("a", 1), sent("a2", 1)], [processed("a"), processed("a2")])
    assert verdict.repeated == 1


def test_a_count_above_its_events_is_repeated_and_one_below_is_lost():
    effects = [Effect("messages", expected=2, actual=5), Effect("events", expected=4, actual=3)]
    verdict = settled([], effects=effects)
    assert (verdict.lost, verdict.repeated) == (1, 3)


def test_rows_of_other_senders_do_not_count():
    verdict = settled([sent("a", 1)], [processed("a"), processed("z")], ["y"])
    assert (verdict.processed, verdict.dead_lettered) == (1, 0)


def test_the_verdict_reads_as_one_line():
    line = str(settled([sent("a", 1)], [processed("a")]))
    assert line == (
        "sent=1 answered=1 unique=1 processed=1 skipped=0 dead_lettered=0 conflicts=0 lost=0 repeated=0"
    )


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
