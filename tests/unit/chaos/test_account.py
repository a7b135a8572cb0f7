"""The suite's own account: what it sends, what it owes, what it prints."""

import hashlib

from tests.chaos.ledger import Ledger
from tests.chaos.run import Result
from tests.chaos.sabotage import SABOTAGES, sabotaged_copy
from tests.chaos.table import summary
from tests.chaos.traffic import BLOCK, Traffic


def test_every_number_has_a_body_of_its_own_and_always_the_same():
    traffic = Traffic("run")
    bodies = {traffic.body(number) for number in range(2 * BLOCK)}
    assert len(bodies) == 2 * BLOCK
    assert Traffic("run").body(7) == traffic.body(7)


def test_an_event_answered_twice_is_owed_once():
    ledger = Ledger()
    ledger.note_answered(b"one")
    ledger.note_answered(b"one")
    assert ledger.owed == {hashlib.sha256(b"one").digest()}


def test_an_event_whose_only_copy_was_destroyed_is_not_owed():
    ledger = Ledger()
    ledger.note_answered(b"one")
    ledger.excuse(b"one")
    assert not ledger.owed


def test_a_fault_with_a_loss_is_not_good():
    assert Result(1, rounds=3, answered=10).is_good
    assert not Result(1, rounds=3, answered=10, lost=1).is_good
    assert not Result(1, rounds=3, answered=10, repeated=1).is_good


def test_a_fault_without_a_single_answer_proves_nothing():
    assert not Result(1, rounds=3).is_good


def test_the_last_line_sums_up_and_names_what_failed():
    results = [Result(1, rounds=3, answered=10), Result(2, rounds=3, answered=5, lost=1)]
    assert summary(results) == "chaos: faults=2 rounds=6 answered=15 lost=1 repeated=0 failed=2"


def test_every_sabotage_still_fits_the_sources(tmp_path):
    for name, sabotage in SABOTAGES.items():
        sabotaged_copy(sabotage, tmp_path / name)
