"""What senders met is held to bounds on both clocks, and nothing may be given up without need."""

import json
from types import SimpleNamespace

import pytest

from tests.chaos import run
from tests.chaos.faults import FAULTS
from tests.chaos.held import WALL_FACTOR, WALL_SECONDS, expect_no_higher_p99, expect_no_longer_stall
from tests.chaos.oracle import Verdict
from tests.chaos.result import Result
from tests.chaos.run import RETRY_SECONDS, Plan
from tests.chaos.scene import Fault
from tests.figures.certificate import ROOT
from tests.stand.ledger import Ledger
from tests.stand.records import Seen, Tried

BOTH = pytest.mark.parametrize("expect", [expect_no_longer_stall, expect_no_higher_p99])


def seen(seconds):
    return Seen([Tried(1, 0.0, 0.0, seconds, 200, 0, 1, is_final=False)])


@BOTH
@pytest.mark.parametrize("wall", [2.0, 7.0])
def test_what_waited_for_a_processor_is_excused(expect, wall):
    expect(seen(wall), seen(2.0), 2.0)


@BOTH
@pytest.mark.parametrize(("wall", "own"), [(2.1, 2.1), (7.1, 0.1)])
def test_what_takes_longer_by_its_own_clock_fails_and_what_spins_for_ever_as_well(expect, wall, own):
    with pytest.raises(AssertionError, match="more than"):
        expect(seen(wall), seen(own), 2.0)


def test_the_figures_on_file_are_within_the_bounds_of_both_clocks():
    rows = json.loads((ROOT / "docs/chaos/results.json").read_text(encoding="utf-8"))["faults"]
    by_number = {fault.number: fault for fault in FAULTS}
    for row in rows:
        fault = by_number[row["number"]]
        assert row["longest_stall_s"] < WALL_FACTOR * fault.stall + WALL_SECONDS
        assert row["p99_ms"] < 1000 * (WALL_FACTOR * fault.p99 + WALL_SECONDS)
        assert row["given_up"] == 0 or fault.gives_up


@pytest.fixture
def settle(monkeypatch):
    """Settle a run in which one event was refused until nobody tried again; everything else is well."""
    oracle = SimpleNamespace(is_settled=lambda: True, verdict=lambda: Verdict(1, 1, 0, 0, 0, ""))
    monkeypatch.setattr(run, "Oracle", lambda *_: oracle)
    refused = Tried(9, 0.5, 0.5, 0.6, 503, 1, 6, is_final=True)
    answered = [Tried(n, n / 3, n / 3, n / 3 + 0.1, 200, 0, 1, is_final=False) for n in range(4)]
    tries = Seen([refused, *answered])
    load = SimpleNamespace(stop=lambda: None, answered=set(), seen=lambda: tries)
    traffic = SimpleNamespace(body=None, run="run")
    clock = SimpleNamespace(seen=Seen)
    scene = SimpleNamespace(load=load, traffic=traffic, ledger=Ledger(), stand=None, clock=clock)

    def settle(fault, plan):
        return run._settle(scene, fault, plan, Result(0, ""))

    return settle


def test_an_event_that_is_given_up_fails_its_fault(settle):
    with pytest.raises(AssertionError, match="1 events were given up"):
        settle(Fault(0, "", ()), Plan(0))


def test_the_rate_on_record_is_the_one_that_was_sent(settle):
    settled = settle(Fault(0, "", (), gives_up=True), Plan(0))
    assert settled.rate == pytest.approx(4.0)


def test_where_senders_are_refused_for_longer_than_they_try_it_does_not(settle):
    assert settle(Fault(0, "", (), gives_up=True), Plan(0)).figures["given_up"] == 1


def test_nor_where_they_try_for_a_shorter_time_than_the_platform(settle):
    assert settle(Fault(0, "", ()), Plan(0, retry_seconds=RETRY_SECONDS / 5)).figures["given_up"] == 1
