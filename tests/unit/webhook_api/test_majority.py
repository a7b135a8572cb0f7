"""The edge publishes only after a recent report of a majority over the current connection."""

import pytest

from messaging.management import Members
from webhook_api.backpressure import QueueReport
from webhook_api.relay.majority import FRESH_SECONDS, Majority, MajorityWatch

CONNECTED = 100.0


def _report(online, *, total=3, asked_at=CONNECTED + 1, address=0, has_leader=True):
    return QueueReport(asked_at, address, Members(total, online, has_leader), depth=None)


ALL = _report(3)
LATER = CONNECTED + 2
WITHOUT_MEMBERS = QueueReport(CONNECTED + 1, 0, members=None, depth=None)
CASES = {
    "no report yet": ([], LATER, False),
    "all three online": ([ALL], LATER, True),
    "two of three online": ([_report(2)], LATER, True),
    "one of three online": ([_report(1)], LATER, False),
    "two of four are no majority": ([_report(2, total=4)], LATER, False),
    "asked before the connection was made": ([_report(3, asked_at=CONNECTED - 0.01)], LATER, False),
    "asked at the moment of the connection": ([_report(3, asked_at=CONNECTED)], LATER, False),
    "still fresh": ([ALL], ALL.asked_at + FRESH_SECONDS, True),
    "too old": ([ALL], ALL.asked_at + FRESH_SECONDS + 0.01, False),
    "lost again": ([ALL, _report(1, asked_at=CONNECTED + 2)], CONNECTED + 2, False),
    "lost and back": ([ALL, _report(1), _report(2, asked_at=CONNECTED + 3)], CONNECTED + 4, True),
    "seen by another node": ([_report(3, address=1)], LATER, False),
    "another node is a lone broker": ([_report(1, total=1, address=1)], LATER, False),
    "another node reports a loss": ([ALL, _report(1, address=1)], LATER, True),
    "no leader among them": ([_report(2, has_leader=False)], LATER, False),
    "an election does not end it": ([ALL, _report(2, has_leader=False)], LATER, True),
    "an election does not prolong it": (
        [ALL, _report(2, has_leader=False, asked_at=CONNECTED + 9)],
        ALL.asked_at + FRESH_SECONDS + 0.01,
        False,
    ),
    "a report without members": ([WITHOUT_MEMBERS], LATER, False),
    "a report with members, then one without": ([ALL, WITHOUT_MEMBERS], LATER, True),
    "a lone broker": ([_report(1, total=1)], LATER, True),
    "a lone broker long ago": ([_report(1, total=1)], CONNECTED + 86_400, True),
    "a lone broker before the connection": ([_report(1, total=1, asked_at=1.0)], LATER, True),
    "the cluster has shrunk to one": ([ALL, _report(1, total=1)], LATER, True),
}


@pytest.mark.parametrize(("reports", "now", "expected"), CASES.values(), ids=CASES)
def test_a_majority_is_present_if_the_connections_node_reported_it_recently(reports, now, expected):
    majority = Majority(members=3).connect(CONNECTED, address=0)
    for report in reports:
        majority = majority.update(report)
    assert majority.is_present(now) is expected


def test_a_report_does_not_count_for_the_next_connection():
    majority = Majority(members=3).connect(CONNECTED, address=0).update(ALL).connect(CONNECTED + 2, address=0)
    assert not majority.is_present(CONNECTED + 3)


def test_the_report_of_any_node_counts_if_addresses_are_not_paired():
    majority = Majority(members=3).connect(CONNECTED, address=None).update(_report(3, address=2))
    assert majority.is_present(LATER)


@pytest.mark.parametrize(
    ("brokers", "addresses", "is_needed", "expected"),
    [(1, 1, True, True), (3, 3, True, False), (3, 1, True, False), (3, 0, False, True), (1, 0, False, True)],
)
def test_several_addresses_are_a_cluster_until_the_first_report(
    tmp_path, brokers, addresses, is_needed, expected
):
    watch = MajorityWatch(tmp_path, brokers=brokers, management_addresses=addresses, is_needed=is_needed)
    assert watch.is_present(0.0) is expected


@pytest.mark.parametrize(("total", "expected"), [(1, True), (3, False)])
def test_the_number_of_members_survives_a_restart(tmp_path, total, expected):
    for_one = {"brokers": 2, "management_addresses": 2, "is_needed": True}
    MajorityWatch(tmp_path, **for_one).on_report(_report(total, total=total))
    assert MajorityWatch(tmp_path, **for_one).is_present(0.0) is expected
