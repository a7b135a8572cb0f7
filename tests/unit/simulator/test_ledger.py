"""The ledger, its file, and its comparison with the tables."""

import json
from dataclasses import asdict

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


@pytest.mark.parametrize(
    ("ledger", "records", "expected"),
    [
        ([sent("a", 1)], {}, {"lost": 1}),
        ([sent("a")], {}, {"lost": 1}),
        ([sent("a", 1, answered=False)], {}, {"lost": 0}),
        (
            [sent("a", 1), sent("a2", 1)],
            {"outcomes": {"a2": "processed"}, "kept": {"a", "a2"}, "conflicts": {"a"}},
            {"unique": 1, "processed": 1, "conflicts": 1, "lost": 0, "repeated": 0},
        ),
        ([sent("a", 1), sent("a2", 1)], {"outcomes": {"a2": "processed"}}, {"lost": 1}),
        ([sent("a", 1)], {"outcomes": {"a": "processed"}, "kept": set()}, {"lost": 1}),
        ([sent("a")], {"dead": ["a"], "queued": []}, {"lost": 1}),
        ([sent("a", 1), sent("a2", 1)], {"outcomes": {"a": "processed", "a2": "processed"}}, {"repeated": 1}),
        ([], {"deviations": [3, -1, 0]}, {"lost": 1, "repeated": 3}),
        (
            [sent("a", 1)],
            {"outcomes": {"a": "processed", "z": "processed"}, "dead": ["y"]},
            {"processed": 1, "dead_lettered": 0},
        ),
    ],
    ids=[
        "found nowhere",
        "malformed and found nowhere",
        "never answered",
        "other content of a known event is a readable conflict",
        "other content that can no longer be read",
        "an event whose body can no longer be read",
        "a recorded dead letter that is not in the queue",
        "two rows for one event",
        "a count above its events, and one below",
        "rows of other senders",
    ],
)
def test_what_is_lost_or_repeated_is_counted_and_nothing_else(ledger, records, expected):
    verdict = settled(ledger, **records)
    assert {name: getattr(verdict, name) for name in expected} == expected


def test_the_last_line_of_a_body_counts(tmp_path):
    path = tmp_path / "ledger.jsonl"
    rows = [sent("a", 1, answered=False), sent("b", 2), sent("a", 1, attempts=2)]
    path.write_text("".join(json.dumps(asdict(row)) + "\n" for row in rows))
    assert read_ledger(path) == [rows[2], rows[1]]


def test_the_file_of_a_run_in_progress_adds_up_the_requests_of_each_body(tmp_path):
    path = tmp_path / "ledger.jsonl"
    with Ledger(path) as ledger:
        ledger.add(POST, status=503, attempts=6)
        ledger.add(POST, status=200, attempts=1)
        ledger.add(Post(None, "malformed:nan", b"{"), status=200, attempts=1)
        rows = read_ledger(path)
    assert [(row.event, row.attempts, row.answered) for row in rows] == [(1, 7, True), (None, 1, True)]
    fields = {"body_sha256", "event", "kind", "status", "attempts", "answered"}
    assert set(json.loads(path.read_text().splitlines()[0])) == fields


def test_a_failed_redelivery_does_not_erase_the_answer():
    ledger = Ledger(None)
    ledger.add(POST, status=200, attempts=1)
    ledger.add(POST, status=None, attempts=6)
    (row,) = ledger.rows.values()
    assert row.answered
    assert row.status is None
