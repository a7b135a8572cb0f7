"""What the benchmarks compute from what they measured."""

import json
from collections import Counter

import pytest

from tests.benchmarks import events
from tests.benchmarks.__main__ import planned
from tests.benchmarks.intake import with_repeats
from tests.benchmarks.memory import growth_of
from tests.benchmarks.open_loop import is_whole
from tests.benchmarks.profiling import OTHER, shares_of
from tests.benchmarks.results import Results
from tests.benchmarks.steady_load import UNANSWERED_SECONDS, Sample, percentile_ms
from tests.benchmarks.targets import TARGETS, Verdict, judge


def test_a_scenario_is_measured_after_the_one_that_it_compares_itself_with():
    assert planned(["backlog", "without-broker"]) == ["throughput", "half-load", "without-broker", "backlog"]
    assert planned(["intake"]) == ["intake"]


def test_every_event_is_distinct_well_formed_and_of_one_size():
    bodies = list(events.bodies(200, series=1))
    assert len(set(bodies)) == 200
    assert {len(body) for body in bodies} == {events.BODY_BYTES}
    assert {json.loads(body)["eventType"].rpartition(":")[2] for body in bodies} == {
        "new",
        "message",
        "updated",
    }


def test_events_of_two_series_are_never_the_same():
    assert not set(events.bodies(50, series=1)) & set(events.bodies(50, series=2))


def test_a_request_file_holds_each_body_at_its_place(tmp_path):
    bodies = list(events.bodies(3, series=1))
    file = events.write_requests(tmp_path / "requests", iter(bodies))
    data = file.path.read_bytes()
    requests = [data[number * file.size : (number + 1) * file.size] for number in range(file.count)]
    assert [events.body_of(request) for request in requests] == bodies


def test_every_tenth_event_is_delivered_twice():
    bodies = [bytes([number]) for number in range(40)]
    delivered = list(with_repeats(bodies))
    assert len(delivered) == 44
    assert set(delivered) == set(bodies)


@pytest.mark.parametrize(("percent", "expected"), [(50, 50), (99, 99), (100, 100), (1, 1)])
def test_a_percentile_is_the_smallest_latency_that_so_many_do_not_exceed(percent, expected):
    assert percentile_ms((number / 1000 for number in range(1, 101)), percent) == pytest.approx(expected)


def test_latency_counts_from_when_a_request_was_due_and_an_unanswered_one_is_the_worst():
    assert Sample(0, due=10.0, sent=11.0, answered=12.5, status=200).latency == 2.5
    assert Sample(0, due=10.0, sent=11.0, answered=0.0, status=0).latency == UNANSWERED_SECONDS


@pytest.mark.parametrize(
    ("answer", "whole"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no", False),
        (b"HTTP/1.1 200 OK\r\nContent-Le", False),
    ],
)
def test_an_answer_is_whole_with_the_last_byte_of_its_body(answer, whole):
    assert is_whole(answer) is whole


def test_a_ratio_is_taken_round_by_round():
    results = Results()
    for ours, theirs in ((100, 50), (10, 20), (30, 10)):
        results.add("s", "ours", per_second=ours)
        results.add("s", "theirs", per_second=theirs)
    assert results.ratio(("s", "ours", "per_second"), ("s", "theirs", "per_second")) == 2


def test_memory_that_rises_once_and_stays_is_flat():
    assert growth_of([20.0] * 10 + [40.0] * 90) == 0
    assert growth_of([float(number) for number in range(100)]) == pytest.approx(65)


def test_a_sample_belongs_to_the_innermost_layer():
    layers = {"ours": ("(ours/",), "library": ("(library/",)}
    stacks = {("f (ours/a.py)", "g (library/b.py)", "h (json/c.py)"): 3, ("main (x/y.py)",): 1}
    assert shares_of(Counter(stacks), layers) == {"library": 0.75, OTHER: 0.25}


def test_a_must_is_missed_on_the_wrong_side_only():
    by_name = {target.name: target for target in TARGETS}
    assert Verdict(by_name["ingest_vs_noop"], 0.7).is_missed
    assert Verdict(by_name["ingest_vs_noop"], 0.8).word == "reached"
    assert Verdict(by_name["p99_half_load_ms"], 11).is_missed
    assert Verdict(by_name["p99_half_load_ms"], 4).word == "aim"


def test_what_was_not_measured_is_not_missed():
    assert not any(verdict.is_missed for verdict in judge(Results()))
