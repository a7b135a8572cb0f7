"""The file that follows a simulation."""

from simulator.ledger import read_ledger
from simulator.ledger.file import Ledger
from simulator.traffic.event import Post

POST = Post(1, "message", b"{}")


def test_it_leaves_one_line_for_each_body(tmp_path):
    path = tmp_path / "ledger.jsonl"
    with Ledger(path) as ledger:
        ledger.note(POST, status=503, attempts=6)
        ledger.note(POST, status=200, attempts=1)
        ledger.note(Post(None, "malformed:nan", b"{"), status=200, attempts=1)
    assert len(path.read_text().splitlines()) == 2
    assert [(row.event, row.attempts, row.answered) for row in read_ledger(path)] == [
        (1, 7, True),
        (None, 1, True),
    ]


def test_an_answer_is_not_forgotten_when_a_redelivery_fails():
    ledger = Ledger(None)
    ledger.note(POST, status=200, attempts=1)
    ledger.note(POST, status=None, attempts=6)
    (row,) = ledger.rows.values()
    assert row.answered
    assert row.status is None
