"""The edge publishes only if the node of its current connection has recently reported a majority."""

from dataclasses import replace

import pytest
from structlog.testing import capture_logs

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


def test_a_majority_reported_by_any_node_counts_if_the_connections_node_is_unknown():
    majority = Majority(members=3).connect(CONNECTED, address=None).update(_report(3, address=2))
    assert majority.is_present(LATER)


@pytest.mark.parametrize(
    ("report", "expected"),
    [(ALL, ["majority_seen", "majority_seen", "majority_lost"]), (_report(1, total=1), [])],
    ids=["cluster", "lone broker"],
)
def test_a_majority_is_logged_as_lost_only_after_its_connection_has_seen_it(tmp_path, report, expected):
    brokers = report.members.total
    watch = MajorityWatch(tmp_path, brokers=brokers, management_addresses=brokers, is_needed=True)
    with capture_logs() as lines:
        watch.is_present(0.0)
        for connected in (CONNECTED, CONNECTED + 1):
            watch.on_connected(connected, node=0)
            watch.is_present(connected)
            watch.on_report(replace(report, asked_at=connected + 0.5))
            watch.is_present(connected + 0.5)
        watch.is_present(CONNECTED + 2 + FRESH_SECONDS)
    assert [line["event"] for line in lines] == expected


@pytest.mark.parametrize(
    ("brokers", "addresses", "is_needed", "expected"),
    [(1, 1, True, True), (3, 3, True, False), (3, 1, True, False), (3, 0, False, True), (1, 0, False, True)],
)
def test_several_addresses_count_as_a_cluster_until_the_first_report(
    tmp_path, brokers, addresses, is_needed, expected
):
    watch = MajorityWatch(tmp_path, brokers=brokers, management_addresses=addresses, is_needed=is_needed)
    assert watch.is_present(0.0) is expected


@pytest.mark.parametrize(
    ("total", "before", "after", "expected"),
    [(1, 2, 2, True), (3, 2, 2, False), (1, 1, 3, False), (3, 3, 1, False)],
    ids=["one member", "three members", "a broker that became a cluster", "a cluster behind one address"],
)
def test_the_number_of_members_is_remembered_after_a_restart(tmp_path, total, before, after, expected):
    def watch(brokers):
        return MajorityWatch(tmp_path, brokers=brokers, management_addresses=brokers, is_needed=True)

    watch(before).on_report(_report(total, total=total))
    assert watch(after).is_present(0.0) is expected


def test_a_cluster_reported_for_more_addresses_is_remembered_behind_one_address(tmp_path):
    for brokers, members in ((1, 1), (3, 3)):
        watch = MajorityWatch(tmp_path, brokers=brokers, management_addresses=brokers, is_needed=True)
        watch.on_report(_report(members, total=members))
    assert not MajorityWatch(tmp_path, brokers=1, management_addresses=1, is_needed=True).is_present(0.0)
