"""What an edge process tells of its answers: how many, how soon, and refusals by their status."""

import pytest

from messaging.edge_statistics import EdgeStatistics, decoded_statistics
from messaging.envelope import STATISTICS, own_envelope
from tests.unit.webhook_api.fakes import FakeClock
from webhook_api.journal import read_segment
from webhook_api.statistics import Statistics


@pytest.fixture
def clock():
    return FakeClock(1000.0)


@pytest.fixture
def statistics(clock):
    return Statistics(clock, "process", 60.0)


def answer(statistics, clock, answers=1, seconds=0.0):
    statistics.open_turn()
    clock.seconds += seconds
    statistics.close_turn(answers, is_durable=True)


def test_answers_are_counted_by_how_soon_they_left(statistics, clock):
    for answers, seconds in ((16, 0.0), (3, 0.0078125), (2, 0.5), (1, 3.5), (1, 11.0)):
        answer(statistics, clock, answers, seconds)
    told = statistics.collect()

    assert (told.answered, told.within, told.longest_us) == (23, (19, 19, 21, 21, 22), 11_000_000)
    assert (told.began_at_us, told.refused) == (1_000_000_000, {})

    # Prometheus' histogram goes on, whatever has been sent.
    statistics.begin()
    answer(statistics, clock, 2, 0.5)
    assert statistics.collect().within == (0, 0, 2, 2, 2)
    assert statistics.durations == [19, 0, 4, 0, 1, 1]
    assert statistics.seconds == 3 * 0.0078125 + 4 * 0.5 + 3.5 + 11.0


def test_refusals_are_counted_by_their_status(statistics):
    statistics.refusals["429"] += 1
    statistics.close_turn(2, is_durable=False)

    assert statistics.collect().refused == {"429": 1, "503": 2}
    assert statistics.collect().answered == 0

    statistics.begin()
    assert statistics.collect() is None
    assert statistics.refusals == {"429": 1, "503": 2}


def test_an_interval_is_told_when_it_is_over_and_the_next_begins_at_nothing(statistics, clock):
    answer(statistics, clock)
    clock.seconds += 59.0
    assert statistics.collect_due(59.0) is None
    clock.seconds += 1.0
    told = statistics.collect_due(1.0)
    statistics.begin()

    assert (told.answered, told.seconds) == (1, 60.0)
    assert statistics.collect() is None


def test_where_nothing_was_answered_nothing_is_told(statistics, clock):
    clock.seconds += 90.0

    assert statistics.collect_due(90.0) is None


def test_how_long_the_loop_was_held_up_is_told_since_requests_may_have_waited_for_it(statistics, clock):
    answer(statistics, clock)
    clock.seconds += 61.0
    assert statistics.collect_due(1.0).longest_us == 60_000_000


def test_where_it_is_turned_off_nothing_is_told(clock):
    statistics = Statistics(clock, "process", 0.0)
    statistics.refusals["429"] += 1
    clock.seconds += 90.0

    assert (statistics.collect_due(90.0), statistics.collect()) == (None, None)


@pytest.mark.parametrize(
    ("told", "is_taken"),
    [
        (EdgeStatistics("host", "p", 1, 60.0, 5, (1, 2, 3, 4, 5), 7, {}), True),
        (EdgeStatistics("host", "p", 1, 60.0, 2**31, (1, 2, 3, 4, 5), 7, {}), False),
        (EdgeStatistics("host", "p\0", 1, 60.0, 5, (1, 2, 3, 4, 5), 7, {}), False),
        (EdgeStatistics("host", "p", 1, float("nan"), 5, (1, 2, 3, 4, 5), 7, {}), False),
        (EdgeStatistics("host", "p", 1, 60.0, 5, (1, 2, 3, 4), 7, {}), False),
    ],
)
def test_what_no_database_takes_is_not_read(told, is_taken):
    assert (decoded_statistics(told.encoded()) is not None) == is_taken


def test_a_newer_edges_fields_and_statuses_are_no_fault():
    told = EdgeStatistics("host", "p", 1, 60.0, 5, (1, 2, 3, 4, 5), 7, {"429": 2, "418": 3, "408": 1})
    body = told.encoded().replace(b'"edge"', b'"mood": "good", "edge"')

    assert decoded_statistics(body).refused == {"401": 0, "413": 0, "429": 2, "503": 0, "other": 4}


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'"x"', b"{" * 100_000, b'{"within": [1], "edge": "e"}'])
def test_what_cannot_be_read_is_none(body):
    assert decoded_statistics(body) is None


def test_what_was_answered_goes_the_way_of_events(stand):
    stand.post(b'{"secret": "words"}')
    stand.post(b"{}", HTTP_X_HUB_SIGNATURE_256="sha256=none")
    edge = stand._edge
    edge._send_statistics(edge._statistics.collect())
    edge.relay._end_turn()

    *_, entry = read_segment(edge._journal.active.path)
    envelope = own_envelope(entry.properties, entry.body)
    told = decoded_statistics(envelope.body)
    assert envelope.source == STATISTICS
    assert (told.answered, told.refused["401"]) == (1, 1)
    assert b"words" not in envelope.body
    assert edge.status()["journal"]["accepted"] == 1
    assert edge._statistics.collect() is None
