"""One probe at a time; a broker that does not answer, or proves nothing, loses the connection."""

from pathlib import Path

import pytest

from messaging.publishing import BrokerState
from tests.unit.webhook_api.fakes import FakeClock, FakePublisher
from webhook_api.backpressure import LoadShedder, Watermarks
from webhook_api.journal import Segment
from webhook_api.relay import Barrier, BrokerLink, MajorityWatch
from webhook_api.relay.link import STALL_SECONDS, StallDetector
from webhook_api.relay.majority import LONE_PATIENCE_SECONDS

ONE = Segment(Path("1"), size=1)
TWO = Segment(Path("2"), size=1)


class Linked:
    """A link to a lone broker that is up, and its calls back."""

    def __init__(self, directory):
        self.clock, self.publisher = FakeClock(), FakePublisher()
        self.changes, self.interrupted, self.allowances = [], [], []
        watch = MajorityWatch(directory, brokers=1, management_addresses=0, is_needed=False)
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


@pytest.fixture
def linked(tmp_path):
    return Linked(tmp_path)


def test_the_next_probe_is_sent_when_the_last_is_answered(linked):
    linked.tick(0)
    linked.tick(0.5)
    assert len(linked.publisher.probes) == 1

    linked.publisher.probes[0](40)
    linked.tick(0.5)

    assert linked.allowances == [10]
    assert len(linked.publisher.probes) == 2


def test_a_probe_without_an_answer_ends_the_connection(linked):
    linked.tick(0)
    linked.tick(LONE_PATIENCE_SECONDS)
    assert linked.publisher.aborted == []

    linked.tick(0.1)

    assert linked.publisher.aborted == ["no answer to a probe"]


def test_an_answer_of_an_earlier_connection_is_ignored(linked):
    linked.tick(0)
    linked.publisher.change(BrokerState.AWAY)
    linked.publisher.change(BrokerState.UP)
    linked.tick(0.5)
    linked.publisher.probes[0](40)
    assert linked.allowances == []

    linked.publisher.probes[1](48)
    assert linked.allowances == [2]


def test_time_in_which_the_broker_does_not_read_does_not_count(linked):
    linked.tick(0)
    linked.publisher.change(BrokerState.BLOCKED)
    linked.tick(1000)
    linked.publisher.change(BrokerState.UP)
    linked.tick(LONE_PATIENCE_SECONDS)

    assert linked.publisher.aborted == []
    assert linked.changes == [False, True, False, True]
    assert len(linked.interrupted) == 1, "an alarm takes nothing back"


def test_a_segment_that_is_never_proven_ends_the_connection(linked):
    linked.link.prove(ONE)
    for _ in range(3):
        linked.tick(STALL_SECONDS / 2 + 0.1)
        if linked.publisher.probes:
            linked.publisher.probes.pop()(0)
            linked.link._proof._published[0].answered_at = None

    assert linked.publisher.aborted == ["no segment is proven any more"]


def test_progress_emptiness_and_a_reset_start_the_stall_detector_over():
    detector = StallDetector()
    assert not detector.is_stalled([ONE, TWO], 100.0)
    assert not detector.is_stalled([ONE, TWO], 100.0 + STALL_SECONDS)
    assert detector.is_stalled([ONE, TWO], 100.1 + STALL_SECONDS)
    assert not detector.is_stalled([TWO], 100.1 + STALL_SECONDS)
    assert not detector.is_stalled([], 1000.0)
    assert not detector.is_stalled([], 2000.0)
    detector.is_stalled([ONE], 3000.0)
    detector.reset()
    assert not detector.is_stalled([ONE], 4000.0)
