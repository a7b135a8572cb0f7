"""The demonstration says so when ledger, tables and dead-letter queue differ."""

import pytest

from simulator.demonstration import Accounts
from simulator.ledger import DeadLetterRow, LedgerRow, ProcessedRow, Records, settle

GOOD = LedgerRow("aa", 1, "message", 200, 1, answered=True)
MALFORMED = LedgerRow("bb", None, "malformed", 200, 1, answered=True)
PROCESSED = ProcessedRow("aa", "conversation", "processed", "openmessaging:conversation:message")
DEAD = DeadLetterRow("bb", "not_json")


def accounts(ledger=(GOOD, MALFORMED), processed=(PROCESSED,), letters=("bb",)):
    records = Records(processed=processed, dead_letters=[DEAD], kept={row.body_sha256 for row in processed})
    return Accounts(ledger, records, letters, settle(ledger, records, letters=letters))


def test_accounts_that_agree_leave_nothing_to_say():
    assert accounts().disagreements() == []


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        ({"processed": ()}, "1 lost"),
        ({"processed": (PROCESSED, PROCESSED)}, "1 repeated"),
        ({"letters": ("bb", "bb")}, "dead letters in the queue that are not on record"),
        ({"letters": ("bb", "cc")}, "dead letters in the queue that are not on record"),
        (
            {"ledger": (GOOD, LedgerRow("bb", None, "malformed", 429, 6, answered=False))},
            "1 bodies were never answered 200",
        ),
    ],
)
def test_any_difference_is_told(difference, words):
    assert accounts(**difference).disagreements() == [words]


def test_a_dead_letter_that_is_not_in_the_queue_is_lost():
    told = accounts(letters=()).disagreements()
    assert told == ["1 lost", "dead letters on record that are not in the queue"]
