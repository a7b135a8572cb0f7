"""What the benchmarks compute from what they measured."""

import json

import pytest

from tests.benchmarks import events
from tests.benchmarks.__main__ import planned
from tests.benchmarks.beside import is_beside
from tests.benchmarks.intake import with_repeats
from tests.benchmarks.memory import growth_of
from tests.benchmarks.plan import FULL
from tests.benchmarks.profiling import OTHER, read_stacks, shares_of
from tests.benchmarks.report import as_json
from tests.benchmarks.results import Figure, Results
from tests.benchmarks.targets import TARGETS, Verdict, judge


def test_a_scenario_is_measured_after_the_one_that_it_compares_itself_with():
    assert planned(["backlog", "without-broker"]) == ["throughput", "half-load", "without-broker", "backlog"]
    assert planned(["intake"]) == ["intake"]


def test_every_event_is_distinct_well_formed_and_of_one_size():
    bodies = list(events.bodies(200, "5a"))
    assert len(set(bodies)) == 200
    assert {len(body) for body in bodies} == {events.BODY_BYTES}
    assert {json.loads(body)["eventType"].rpartition(":")[2] for body in bodies} == {
        "new",
        "message",
        "updated",
    }


def test_conversation_ids_are_scattered_and_the_same_for_the_same_seed():
    ids = [
        json.loads(body)["conversationId"]
        for body in list(events.bodies(1000, "5a"))[:: events.EVENTS_PER_CONVERSATION]
    ]
    assert len(set(ids)) == 100
    assert len({conversation[0] for conversation in ids}) > 10
    assert list(events.bodies(20, "5a")) == list(events.bodies(20, "5a"))
    assert not set(events.bodies(20, "5a")) & set(events.bodies(20, "5b"))


def test_a_request_file_holds_each_body_at_its_place(tmp_path):
    bodies = list(events.bodies(5, "5a"))
    file = events.write_requests(tmp_path / "requests", iter(bodies))
    assert file.bodies(5) == bodies
    assert file.bodies(2, first=3) == bodies[3:]


def test_every_tenth_event_is_delivered_twice():
    bodies = [bytes([number]) for number in range(40)]
    delivered = list(with_repeats(bodies))
    assert len(delivered) == 44
    assert set(delivered) == set(bodies)


def test_a_ratio_is_taken_round_by_round():
    results = Results()
    for ours, theirs in ((100, 50), (10, 20), (30, 10)):
        results.add("s", "ours", per_second=ours)
        results.add("s", "theirs", per_second=theirs)
    assert results.ratios(Figure("s", "ours", "per_second"), Figure("s", "theirs", "per_second")) == [
        2,
        0.5,
        3,
    ]


def test_a_run_is_written_with_the_spread_of_its_rounds():
    results = Results()
    for ours in (100, 300, 200):
        results.add("ingest", "service", per_second=ours)
        results.add("ingest", "noop", per_second=50)
    document = as_json({}, FULL, results, judge(results))
    assert document["figures"]["ingest"]["service"]["per_second"] == {
        "value": 200,
        "least": 100,
        "most": 300,
        "rounds": [100, 300, 200],
    }
    target = document["targets"]["ingest_vs_noop"]
    assert (target["least"], target["value"], target["most"]) == (2, 4, 6)
    assert document["line"].startswith("bench: ingest_vs_noop=4.00 ingest_vs_pika=- ")


def test_a_check_that_fails_in_one_round_is_on_file_though_it_holds_in_the_next():
    results = Results()
    for number, holds in enumerate((True, False, True), start=1):
        results.round = number
        results.check("service: nothing but 200", holds=holds)
    document = as_json({}, FULL, results, judge(results))
    checks = document["checks"]
    assert document["correctness"] == "2 of 3 checks hold"
    assert [(check["round"], check["holds"]) for check in checks] == [(1, True), (2, False), (3, True)]
    assert {check["claim"] for check in checks} == {"service: nothing but 200"}


def test_an_intake_beside_which_hardly_anything_is_delivered_is_not_measured_beside_deliver():
    assert is_beside(settled=20_000, delivered=1_000, rows=20_000)
    assert not is_beside(settled=20_000, delivered=182, rows=20_000)
    assert not is_beside(settled=0, delivered=1_000, rows=20_000)


def test_memory_that_rises_once_and_stays_is_flat():
    assert growth_of([20.0] * 10 + [40.0] * 90) == 0
    assert growth_of([float(number) for number in range(100)]) == pytest.approx(65)


def test_a_sample_belongs_to_the_innermost_layer():
    layers = {"ours": ("ours/",), "library": ("library/",)}
    stacks = read_stacks(
        "f (ours/a.py:3);g (library/b.py:5);h (json/c.py:7) 3\nmain (x/y.py:1) 1\n"
        "main (x/y.py:1);EpollSelector.select (selectors.py:468) 9\n"
    )
    assert shares_of(stacks, layers) == {"library": 0.75, OTHER: 0.25}


def test_a_must_is_missed_on_the_wrong_side_only():
    by_name = {target.name: target for target in TARGETS}
    assert Verdict(by_name["ingest_vs_noop"], [2.4]).is_missed
    assert Verdict(by_name["ingest_vs_noop"], [2.6]).word == "reached"
    assert Verdict(by_name["p99_half_load_ms"], [11]).is_missed
    assert Verdict(by_name["p99_half_load_ms"], [4]).word == "aim reached"
    assert Verdict(by_name["ingest_vs_go"], [0.9]).word == "short of the aim"


def test_what_was_not_measured_is_not_missed():
    assert not any(verdict.is_missed for verdict in judge(Results()))
