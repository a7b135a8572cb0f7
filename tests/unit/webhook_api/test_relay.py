"""Published events count towards the queue's depth; unproven events are republished after interruptions."""

import pytest

from messaging.broker import BrokerState
from messaging.clock import SystemClock
from tests.fakes.publisher import FakePublisher
from tests.unit.webhook_api.journals import PROPERTIES, journal_in
from webhook_api.answers import Answers
from webhook_api.backpressure import DepthSample, LoadShedder, Watermarks
from webhook_api.relay import Barrier, BrokerLink, MajorityWatch, Oversized, Relay

HIGH = 3


class Stand:
    """A relay with a fake publisher."""

    def __init__(self, loop, directory):
        clock = SystemClock()
        self.loop, self.publisher = loop, FakePublisher()
        self.shedder = LoadShedder(Watermarks(HIGH, 2), retry_after_max=30, processes=1, clock=clock)
        self.shedder.on_sample(DepthSample(at=clock.monotonic(), depth=0))
        watch = MajorityWatch(directory, brokers=1, management_addresses=0, is_needed=False)
        link = BrokerLink(self.publisher, Barrier(), watch, self.shedder, clock)
        oversized = Oversized(directory / "oversized")
        answers = Answers(clock)
        self.relay = Relay(loop, journal_in(directory / "journal"), link, oversized, clock, answers)
        self.relay.start()

    def turn(self, seconds=0.0):
        self.loop.call_later(seconds, self.loop.stop)
        self.loop.run_forever()

    def republish(self):
        self.relay._republisher.allow(100)
        self.turn(0.2)


@pytest.fixture
def stand(loop, tmp_path):
    return Stand(loop, tmp_path)


def test_the_reported_age_is_the_age_of_the_oldest_event(stand):
    stand.relay._journal.active.opened_at_us -= 3_600_000_000
    stand.relay._tick()
    for _ in range(2):
        stand.relay.accept(PROPERTIES, b"{}")
    stand.relay.flush_now()
    status = stand.relay.status()
    assert status["oldest_entry_s"] < 60
    assert (status["oldest_unproven_s"], status["entries"]) == (0, 2)


@pytest.mark.parametrize("end", [[BrokerState.AWAY, BrokerState.UP], [BrokerState.AWAY], []])
def test_an_unproven_event_is_published_again_over_the_next_connection(stand, end):
    stand.publisher.change(BrokerState.UP)
    for body in (b"1", b"2"):
        stand.relay.accept(PROPERTIES, body)
        stand.relay.flush_now()
        stand.relay._rotate()
    stand.relay.accept(PROPERTIES, b"in the active segment")
    stand.relay.flush_now()
    for state in end:
        stand.publisher.change(state)
    # A new connection is reported, even if the end of the previous connection was not noticed.
    stand.publisher.state = BrokerState.AWAY
    stand.publisher.change(BrokerState.UP)
    stand.republish()
    assert stand.publisher.published == 2 * [b"1", b"2", b"in the active segment"]


def test_an_alarm_delays_new_events_but_does_not_repeat_published_events(stand):
    """Live and republished events count towards the queue's depth when they are published."""
    stand.publisher.change(BrokerState.UP)
    for state, body in ((BrokerState.BLOCKED, b"1"), (BrokerState.UP, b"2"), (BrokerState.BLOCKED, b"3")):
        stand.relay.accept(PROPERTIES, body)
        stand.relay.flush_now()
        stand.publisher.change(state)
    assert stand.publisher.published == [b"1", b"3"]
    assert not stand.shedder.is_shedding
    stand.publisher.change(BrokerState.UP)
    stand.republish()
    assert stand.publisher.published == [b"1", b"3", b"2"]
    assert stand.shedder.is_shedding
