"""The control of a defect: what the intact product leaves behind, and what counts as its failure."""

import random
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from tests.chaos import every_sabotage, run
from tests.chaos.behind import UNFINISHED
from tests.chaos.defects import DEFECTS
from tests.chaos.oracle import Oracle
from tests.chaos.plugin import SABOTAGE
from tests.chaos.result import Result
from tests.chaos.run import Plan
from tests.chaos.scene import Fault, Form, Scene
from tests.stand.ledger import Ledger
from tests.stand.records import Seen

DEFECT = DEFECTS[0]
GOOD = Result(0, "", rounds=1, proofs=("it struck",), answered=1)
CAUGHT = Result(0, "", proofs=("it struck",), failure="AssertionError: the journal did not empty")


class Stands:
    """Notes how its stand was closed."""

    def __init__(self):
        self.closed = []

    def of(self, _kind):
        return None

    def close(self, *, keep=False):
        self.closed.append(keep)


@pytest.fixture
def catch(monkeypatch, tmp_path):
    """Run the defect's test where the intact and the broken product come to these results."""

    def catch(stands, *results):
        left, told = iter(results), {}
        monkeypatch.setattr(every_sabotage, "versions_of", lambda _stand: {})
        monkeypatch.setattr(every_sabotage, "sabotaged_copy", lambda _defect, directory: directory)
        monkeypatch.setattr(every_sabotage, "result_of", lambda *_: next(left))
        try:
            every_sabotage.test_the_defect_is_caught(stands, DEFECT, None, tmp_path, told.__setitem__)
        except AssertionError as error:
            told["error"] = str(error)
        return told

    return catch


def test_a_control_that_fails_keeps_its_logs_and_leaves_no_stand_and_no_outcome(catch):
    stands = Stands()
    told = catch(stands, Result(0, "", failure="lost its way"))
    assert stands.closed == [True]
    assert "the intact product fails, too" in told["error"]
    assert "outcome" not in told[SABOTAGE]
    assert not told[SABOTAGE]["caught"]


def test_a_defect_is_caught_after_its_control(catch):
    stands = Stands()
    told = catch(stands, GOOD, CAUGHT)
    assert stands.closed == []
    assert "error" not in told
    assert (
        told[SABOTAGE] | {"caught": True, "intact": GOOD.outcome, "outcome": CAUGHT.outcome} == told[SABOTAGE]
    )


def test_what_breaks_off_leaves_no_stand_for_the_next(catch):
    stands = Stands()
    catch(stands, GOOD, Result(0, "", proofs=("it struck",), failure="x", is_broken_off=True))
    assert stands.closed == [False]


def test_a_check_that_fails_within_the_strike_keeps_what_was_proven_before(monkeypatch):
    @contextmanager
    def strike(scene):
        scene.prove("the process id changed")
        assert not scene.proofs, "senders are told 503"
        yield

    load = SimpleNamespace(seen=lambda: Seen([None]), watch=_watch, kill=lambda: None, rate=1.0)
    clock = SimpleNamespace(close=lambda: None)
    scene = Scene(None, load, None, Ledger(), random.Random(1), clock)
    monkeypatch.setattr(run.time, "sleep", lambda _seconds: None)
    plan = Plan(0, accounts=False, say=lambda _line: None)
    result = run._run(scene, Fault(0, "", (Form(strike),), rounds=1), plan, Result(0, "", rounds=1))
    assert result.proofs == ("the process id changed",)
    assert result.is_broken_off
    assert "told 503" in result.failure


@contextmanager
def _watch():
    yield Seen([])


def test_what_is_unfinished_behind_the_queue_is_told(monkeypatch):
    monkeypatch.setattr(Oracle, "_all", lambda *_, **_values: [])
    behind = SimpleNamespace(
        taken_of=lambda _run: [], contacts=SimpleNamespace(said={}), inbox=SimpleNamespace(forged=0)
    )
    stand = SimpleNamespace(behind=behind, ask=lambda question, **_values: 3 * (question == UNFINISHED))
    assert (
        Oracle(stand, "run", Ledger())._told().complaint == "3 windows, updates and deliveries are unfinished"
    )
