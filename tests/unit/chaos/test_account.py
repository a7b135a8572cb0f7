"""The suite's own account: what counts as proven, what it reads on the disk, what it prints."""

from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import pytest

from tests.chaos import run
from tests.chaos.journals import Journals
from tests.chaos.result import Result
from tests.chaos.run import Plan, first_of, strike
from tests.chaos.scene import Fault, Form, Scene
from tests.chaos.table import is_bad, summary, table
from tests.stand.records import Seen, Tried
from webhook_api.journal.segment_file import record_header

ROW = Result(
    1, "kill", rounds=3, proofs=("one", "two", "three"), answered=10, figures={"longest_stall_s": 2.5}
)


def scene(*statuses):
    tries = [Tried(1, 1.0, 1.0, 1.1, status, 0, 1, is_final=False) for status in statuses]
    load = SimpleNamespace(watch=lambda: nullcontext(Seen(tries)))
    stand = SimpleNamespace(wait_healthy=lambda _seconds: None)
    chance = SimpleNamespace(uniform=lambda *_: 0.0)
    return Scene(stand, load, None, None, chance, None)


@contextmanager
def strikes(scene):
    scene.prove("the process id changed")
    yield


@contextmanager
def misses(_scene):
    yield


def test_a_strike_without_a_proof_fails_its_round():
    with pytest.raises(AssertionError, match="nothing proves that it struck"):
        strike(scene(200), Form(misses))


def test_a_proof_that_does_not_hold_fails_its_round():
    with pytest.raises(AssertionError, match="did not strike"):
        scene().prove("the clock moved", has_struck=False)


def test_every_answer_of_a_strike_is_held_to_what_is_allowed():
    strike(scene(200, 200), Form(strikes))
    strike(scene(200, -2), Form(strikes, allowed=None))
    with pytest.raises(AssertionError, match="reset"):
        strike(scene(200, -2), Form(strikes))


def test_a_form_that_says_so_is_held_to_a_lower_p99_than_its_fault(monkeypatch):
    late = Seen([Tried(1, 1.0, 1.0, 1.6, 200, 0, 1, is_final=False)])
    load = SimpleNamespace(watch=lambda: nullcontext(late), seen=lambda: late)
    monkeypatch.setattr(run.time, "sleep", lambda _seconds: None)
    plan = Plan(0, say=lambda _line: None)

    def strike_once(form):
        struck = scene()
        struck.load, struck.clock = load, SimpleNamespace(seen=Seen)
        return run._strike_all(struck, Fault(0, "", (form,), rounds=1, stall=8.0, p99=8.0), plan, ROW)

    assert strike_once(Form(strikes)).proofs
    with pytest.raises(AssertionError, match="p99 of 0"):
        strike_once(Form(strikes, p99=0.5))


def test_a_fault_is_good_only_when_every_strike_was_proven_and_nothing_lost():
    assert ROW.is_good
    for change in ({"lost": 1}, {"repeated": 1}, {"failure": "x"}, {"answered": 0}, {"proofs": ("one",)}):
        bad = Result(
            **{"number": 1, "title": "kill", "rounds": 3, "proofs": (1, 2, 3), "answered": 10} | change
        )
        assert not bad.is_good
        assert is_bad(bad.as_row())


def test_the_last_line_sums_up_and_names_what_failed():
    rows = [ROW.as_row(), Result(2, "stop", rounds=1, proofs=("one",), answered=5, lost=1).as_row()]
    line = summary(rows, {"commit": "a" * 40, "seed": "5a"})
    assert line == (
        "chaos: commit=aaaaaaaaaaaa seed=5a faults=2 rounds=4 strikes_proved=4 answered=15"
        " longest_stall_s=2.5 lost=1 repeated=0 failed=2"
    )
    assert "stop" in table(rows)


def test_the_check_that_failed_first_is_the_one_to_tell():
    with pytest.raises(AssertionError) as caught:
        undo_after_a_failure()
    assert str(first_of(caught.value)) == "first"


def undo_after_a_failure():
    try:
        raise AssertionError("first")
    finally:
        raise AssertionError("in undoing")


def test_journals_are_read_by_their_format_and_past_damage(tmp_path):
    directory = tmp_path / "journal" / "7-abc"
    directory.mkdir(parents=True)
    records = [record_header(b"p", body) + b"p" + body for body in (b"one", b"two", b"three")]
    segment = directory / "00000001.segment"
    segment.write_bytes(b"".join(records))
    journals = Journals(tmp_path)
    assert journals.bodies() == [b"one", b"two", b"three"]
    segment.write_bytes(records[0] + b"x" + records[1][1:] + records[2][:-1])
    assert journals.bodies() == [b"one"]
    assert journals.segments(of="7-*") == [segment]
    assert journals.segments(of="8-*") == []
