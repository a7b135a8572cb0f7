"""What the sender's records say, and how an answer is read."""

import pytest

from tests.stand.connection import parsed
from tests.stand.ledger import Ledger, digest_of
from tests.stand.records import MARK, RECORD, TIMEOUT, Records, Seen, Tried, percentile
from tests.stand.traffic import BLOCK, Traffic


def tried(number, due, ended, status=200, *, is_final=False):
    return Tried(number, due, due, ended, status, 0, 1, is_final)


def test_a_latency_counts_from_when_the_request_was_due():
    late = Tried(1, due=10.0, sent=17.0, ended=18.0, status=200, retry_after=0, attempt=1, is_final=False)
    assert late.latency == 8.0


def test_a_percentile_is_a_value_that_occurred():
    assert percentile(range(1, 101), 99) == 99
    assert percentile([5.0], 99.9) == 5.0
    assert percentile([], 50) == 0.0


def test_a_stall_of_eight_seconds_leaves_its_trace():
    steady = [tried(n, n / 10, n / 10 + 0.001) for n in range(100)]
    assert Seen(steady).longest_stall < 0.2
    stalled = [each._replace(ended=18.0) if each.due > 9.9 - 0.05 else each for each in steady]
    assert Seen(stalled).longest_stall == pytest.approx(8.2, abs=0.01)


def test_a_stretch_in_which_nothing_is_answered_200_is_a_stall_too():
    refused = [tried(n, n / 10, n / 10 + 0.001, 200 if n < 10 or n > 60 else 503) for n in range(100)]
    assert Seen(refused).longest_stall == pytest.approx(5.2)


@pytest.mark.parametrize(
    ("answered", "seconds"), [(range(50), 5.1), (range(50, 100), 5.0), (range(0), 9.9)], ids=str
)
def test_what_begins_or_ends_without_an_answer_of_200_stalls_as_well(answered, seconds):
    tries = [tried(n, n / 10, n / 10 + 0.001, 200 if n in answered else 503) for n in range(100)]
    assert Seen(tries).longest_stall == pytest.approx(seconds, abs=0.11)


def test_nothing_tried_is_no_stall():
    assert Seen([]).longest_stall == 0.0


def test_the_rate_is_that_of_all_requests_while_new_ones_came():
    new = [tried(n, n / 10, n / 10 + 0.001, 503) for n in range(101)]
    again = [each._replace(due=each.due + 5.0, attempt=2) for each in new]
    assert Seen([*new, *again]).rate == pytest.approx(15.0)
    assert Seen([]).rate == Seen(new[:1]).rate == 0.0


def test_what_the_policy_gives_up_is_counted_by_itself():
    tries = [tried(1, 1, 2, TIMEOUT), tried(1, 7, 8, TIMEOUT, is_final=True), tried(2, 1, 2)]
    figures = Seen(tries).figures()
    assert (figures["failed"], figures["given_up"], figures["tries"]) == (2, 1, 3)


def test_records_are_read_while_they_are_written(tmp_path):
    path = tmp_path / "records"
    records = Records(path)
    assert records.read() == []
    whole = RECORD.pack(7, 1.0, 2.0, 3.0, 200, 0, 1, False)
    path.write_bytes(whole + whole[:9])
    assert [each.number for each in records.read()] == [7]
    path.write_bytes(whole + whole + RECORD.pack(MARK, 5.0, 0, 0, 0, 3, 0, False))
    assert len(records.read()) == 1
    assert (records.concluded_before, records.waiting_retries) == (5.0, 3)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", (200, 0, True)),
        (b"HTTP/1.1 429 X\r\ncontent-length: 0\r\nRetry-After: 7\r\n\r\n", (429, 7, True)),
        (b"HTTP/1.1 503 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", (503, 0, False)),
    ],
)
def test_an_answer_is_read_when_it_is_whole(answer, expected):
    assert parsed(answer) == expected


@pytest.mark.parametrize(
    "answer", [b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1"]
)
def test_what_is_no_answer_is_a_failure(answer):
    with pytest.raises(ValueError, match=r"answer|status"):
        parsed(answer)


def test_every_number_has_a_body_of_its_own_and_always_the_same():
    traffic = Traffic("run")
    assert len({traffic.body(number) for number in range(2 * BLOCK)}) == 2 * BLOCK
    assert Traffic("run").body(7) == traffic.body(7)


def test_an_event_is_owed_once_unless_its_only_copy_was_destroyed():
    ledger = Ledger()
    ledger.note_answered([b"one", b"one", b"two"])
    ledger.excuse_all([b"two"])
    assert ledger.owed == {digest_of(b"one")}
    assert ledger.lost({digest_of(b"one")}) == set()
    assert ledger.lost(set(), set()) == {digest_of(b"one")}
