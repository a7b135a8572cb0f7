"""The link sends one probe at a time, and drops a connection whose probes are unanswered or prove nothing."""

from pathlib import Path

import pytest

from messaging.broker import BrokerState
from messaging.management import Members
from tests.fakes.clock import FakeClock
from tests.fakes.publisher import FakePublisher
from webhook_api.backpressure import LoadShedder, QueueReport, Watermarks
from webhook_api.journal import Segment
from webhook_api.relay import Barrier, BrokerLink, MajorityWatch
from webhook_api.relay.link import STALL_SECONDS
from webhook_api.relay.majority import FRESH_SECONDS, LONE_PATIENCE_SECONDS

ONE = Segment(Path("1"), size=1)
TWO = Segment(Path("2"), size=1)


class Linked:
    """A link to a lone broker or a cluster that is up, with its callbacks recorded."""

    def __init__(self, directory, brokers=1):
        self.clock, self.publisher = FakeClock(), FakePublisher()
        self.changes, self.interrupted, self.allowances = [], [], []
        watch = MajorityWatch(directory, brokers=brokers, management_addresses=1, is_needed=brokers > 1)
        shedder = LoadShedder(Watermarks(100, 50), retry_after_max=30, processes=1, clock=self.clock)
        self.link = BrokerLink(self.publisher, Barrier(), watch, shedder, self.clock)
        self.link.start(
            self.changes.append,
            self.interrupted.append,
            lambda _proven, allowance: self.allowances.append(allowance),
        )
        self.publisher.change(BrokerState.UP)

    def tick(self, seconds):
        self.clock.seconds += seconds
        self.link.tick()

    def report(self, seconds, online):
        self.clock.seconds += seconds
        members = Members(3, online, has_leader=True)
        self.link.on_report(QueueReport(self.clock.monotonic(), 0, members, None))


@pytest.fixture
def linked(tmp_path):
    return Linked(tmp_path)


def test_the_next_probe_is_sent_after_the_answer_to_the_previous_probe(linked):
    linked.tick(0)
    linked.tick(0.5)
    assert len(linked.publisher.probes) == 1
    linked.publisher.probes[0](40)
    linked.tick(0.5)
    assert linked.allowances == [10]
    assert len(linked.publisher.probes) == 2


def test_an_unanswered_probe_ends_the_connection(linked):
    linked.tick(0)
    linked.tick(LONE_PATIENCE_SECONDS)
    assert linked.publisher.aborted == []
    linked.tick(0.1)
    assert linked.publisher.aborted == ["no answer to a probe"]


def test_an_answer_received_on_an_earlier_connection_is_ignored(linked):
    linked.tick(0)
    linked.publisher.change(BrokerState.AWAY)
    linked.publisher.change(BrokerState.UP)
    linked.tick(0.5)
    linked.publisher.probes[0](40)
    assert linked.allowances == []
    linked.publisher.probes[1](48)
    assert linked.allowances == [2]


def test_a_probe_does_not_time_out_during_an_alarm(linked):
    linked.tick(0)
    linked.publisher.change(BrokerState.BLOCKED)
    linked.tick(1000)
    linked.publisher.change(BrokerState.UP)
    linked.tick(LONE_PATIENCE_SECONDS)
    assert linked.publisher.aborted == []
    assert linked.changes == [False, True, False, True]
    assert len(linked.interrupted) == 1, "an alarm interrupts no proof"


def test_a_lost_majority_stops_publishing_at_once(tmp_path):
    linked = Linked(tmp_path, brokers=3)
    linked.report(0.5, online=3)
    linked.changes.clear()
    linked.report(1.0, online=1)
    assert linked.changes == [False]
    assert linked.publisher.aborted == []


def test_a_report_after_a_long_pause_ends_the_connection(tmp_path):
    linked = Linked(tmp_path, brokers=3)
    linked.report(0.5, online=3)
    linked.publisher.last_tag = 1
    linked.report(FRESH_SECONDS + 0.1, online=3)
    assert len(linked.publisher.aborted) == 1


def block_and_unblock(linked):
    linked.publisher.change(BrokerState.BLOCKED)
    linked.publisher.change(BrokerState.UP)


@pytest.mark.parametrize(
    ("happen", "aborted"),
    [
        (lambda _linked: None, ["the oldest segment was not proven in time"]),
        (block_and_unblock, []),
        (lambda linked: linked.link._proof._published.popleft(), []),
    ],
    ids=["nothing", "an alarm", "a proof"],
)
def test_a_segment_that_is_never_proven_ends_the_connection(linked, happen, aborted):
    linked.link.prove(ONE)
    linked.link.prove(TWO)
    for number in range(3):
        linked.tick(STALL_SECONDS / 2 + 0.1)
        if linked.publisher.probes and not linked.publisher.aborted:
            linked.publisher.probes.pop()(0)
            for published in linked.link._proof._published:
                published.answered_at = None
        if number == 1:
            happen(linked)
    assert linked.publisher.aborted == aborted
