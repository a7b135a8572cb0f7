"""The ledger is written to a file and compared with the records in the tables."""

import json

import pytest

from simulator.accounts import Records, settle
from simulator.ledger import Ledger, LedgerRow, read_ledger
from simulator.traffic import Post

POST = Post(1, "message", b"{}")


def sent(digest, event=None, *, answered=True, attempts=1):
    return LedgerRow(digest, event, "message", 200 if answered else 503, attempts, answered)


def settled(ledger, outcomes=None, dead=(), *, kept=None, queued=None, **more):
    """Compare *ledger* with records that by default contain the body of every event with an outcome."""
    outcomes = {digest: [outcome] for digest, outcome in (outcomes or {}).items()}
    dead_letters = [(digest, "not_json") for digest in dead]
    kept = set(outcomes) if kept is None else kept
    queued = dead if queued is None else queued
    return settle(ledger, Records(outcomes, dead_letters, kept=kept, queued=queued, **more))


def test_a_complete_ledger_has_no_lost_and_no_repeated_event():
    ledger = [sent("a", 1), sent("b", 2, attempts=3), sent("c")]
    verdict = settled(ledger, {"a": "processed", "b": "skipped"}, ["c"])
    assert str(verdict) == (
        "sent=5 answered=3 unique=3 processed=1 skipped=1 dead_lettered=1 conflicts=0 lost=0 repeated=0"
    )


CASES = {
    "found nowhere": ([sent("a", 1)], {}, {"lost": 1}),
    "malformed and found nowhere": ([sent("a")], {}, {"lost": 1}),
    "never answered": ([sent("a", 1, answered=False)], {}, {"lost": 0}),
    "other content of a known event": (
        [sent("a", 1), sent("a2", 1)],
        {"outcomes": {"a2": "processed"}, "kept": {"a", "a2"}, "conflicts": {"a"}},
        {"unique": 1, "processed": 1, "conflicts": 1, "lost": 0, "repeated": 0},
    ),
    "unreadable other content": (
        [sent("a", 1), sent("a2", 1)],
        {"outcomes": {"a2": "processed"}},
        {"lost": 1},
    ),
    "unreadable body": ([sent("a", 1)], {"outcomes": {"a": "processed"}, "kept": set()}, {"lost": 1}),
    "recorded dead letter that is not in the queue": (
        [sent("a")],
        {"dead": ["a"], "queued": []},
        {"lost": 1},
    ),
    "two rows for one event": (
        [sent("a", 1), sent("a2", 1)],
        {"outcomes": {"a": "processed", "a2": "processed"}},
        {"repeated": 1},
    ),
    "counts that are too high and too low": ([], {"deviations": [3, -1, 0]}, {"lost": 1, "repeated": 3}),
    "rows of other senders": (
        [sent("a", 1)],
        {"outcomes": {"a": "processed", "z": "processed"}, "dead": ["y"]},
        {"processed": 1, "dead_lettered": 0},
    ),
}


@pytest.mark.parametrize(("ledger", "records", "expected"), CASES.values(), ids=CASES)
def test_lost_and_repeated_events_are_counted(ledger, records, expected):
    verdict = settled(ledger, **records)
    assert {name: getattr(verdict, name) for name in expected} == expected


def test_the_ledger_file_adds_up_the_requests_of_each_body_during_a_run(tmp_path):
    path = tmp_path / "ledger.jsonl"
    with Ledger(path) as ledger:
        ledger.add(POST, status=503, attempts=6)
        ledger.add(POST, status=200, attempts=1)
        ledger.add(POST, status=None, attempts=6)
        ledger.add(Post(None, "malformed:nan", b"{"), status=200, attempts=1)
        rows = read_ledger(path)
    found = [(row.event, row.status, row.attempts, row.answered) for row in rows]
    assert found == [(1, None, 13, True), (None, 200, 1, True)]
    fields = {"body_sha256", "event", "kind", "status", "attempts", "answered"}
    assert set(json.loads(path.read_text().splitlines()[0])) == fields
