"""The queue's depth grows by what is published, and by nothing that waits in the journal."""

from messaging.broker import NO_LIMIT
from messaging.clock import SystemClock
from messaging.envelope import WEBHOOK, encode_properties
from tests.unit.webhook_api.journals import journal_in
from webhook_api.backpressure import DepthSample, Gate, Watermarks
from webhook_api.host_table import HostTable
from webhook_api.relay.barrier import Barrier
from webhook_api.relay.majority_watch import MajorityWatch
from webhook_api.relay.outlet import Outlet
from webhook_api.relay.oversized import Oversized
from webhook_api.relay.relay import Relay
from webhook_api.statistics import Statistics

PROPERTIES = encode_properties("message-1", 1, "request-1", WEBHOOK)
HIGH = 100


class TakenAlong:
    """A publisher that counts what it is given; `can_publish` says whether there is a broker."""

    blocked = False
    buffered_bytes = 0
    size_limit = NO_LIMIT
    node = last_tag = 0

    def __init__(self, *, can_publish):
        self.ready = self.can_publish = can_publish
        self.published = self.unsent = 0

    def start(self, listener):
        self.listener = listener

    def publish(self, events):
        self.published += len(events)
        self.unsent += len(events)

    def flush(self):
        unsent, self.unsent = self.unsent, 0
        return unsent


def _edge(loop, tmp_path, publisher):
    clock = SystemClock()
    gate = Gate(
        Watermarks(high=HIGH, low=50), HostTable(tmp_path), retry_after_max=30, processes=1, clock=clock
    )
    journal = journal_in(tmp_path)
    gate.on_sample(DepthSample(at=clock.monotonic(), depth=0))
    watch = MajorityWatch(tmp_path, brokers=1, management_addresses=0, is_needed=False)
    outlet = Outlet(publisher, Barrier(), watch, gate, clock)
    relay = Relay(
        loop, journal, outlet, Oversized(tmp_path / "oversized"), clock, Statistics(clock, "p", 0.0)
    )
    outlet.start(relay)
    return gate, relay


def test_with_the_broker_away_the_edge_keeps_more_than_the_watermark_and_refuses_nothing(loop, tmp_path):
    gate, relay = _edge(loop, tmp_path, TakenAlong(can_publish=False))

    for _ in range(3 * HIGH):
        relay.accept(PROPERTIES, b"{}")

    assert not gate.is_shedding


def test_live_events_count_as_they_are_published(loop, tmp_path):
    publisher = TakenAlong(can_publish=True)
    gate, relay = _edge(loop, tmp_path, publisher)
    publisher.listener.on_broker_up()

    for _ in range(HIGH):
        assert not gate.is_shedding
        relay.accept(PROPERTIES, b"{}")
        for _ in range(3):
            loop.call_soon(loop.stop)
            loop.run_forever()

    assert gate.is_shedding


def test_republished_events_count_as_they_are_published(loop, tmp_path):
    publisher = TakenAlong(can_publish=False)
    gate, relay = _edge(loop, tmp_path, publisher)
    for _ in range(HIGH):
        relay.accept(PROPERTIES, b"{}")
    publisher.ready = publisher.can_publish = True
    publisher.listener.on_broker_up()

    relay._republisher.allow(HIGH)
    loop.call_later(0.2, loop.stop)
    loop.run_forever()

    assert publisher.published == HIGH
    assert gate.is_shedding


def test_the_age_that_is_told_is_that_of_the_oldest_event_and_not_of_the_quiet_before_it(loop, tmp_path):
    _, relay = _edge(loop, tmp_path, TakenAlong(can_publish=False))
    relay._journal.active.opened_at_us -= 3_600_000_000

    relay.start()
    for _ in range(2):
        relay.accept(PROPERTIES, b"{}")
    relay.keep_now()

    told = relay.status()
    assert told["oldest_entry_s"] < 60
    assert told["oldest_unproven_s"] == 0
    assert told["entries"] == 2


def test_a_new_connection_carries_nothing_of_an_earlier_one_whose_end_was_not_told(loop, tmp_path):
    publisher = TakenAlong(can_publish=True)
    _, relay = _edge(loop, tmp_path, publisher)
    publisher.listener.on_broker_up()
    relay.accept(PROPERTIES, b"{}")
    relay.keep_now()
    assert publisher.published == 1

    publisher.listener.on_broker_up()
    relay._republisher.allow(10)
    loop.call_later(0.1, loop.stop)
    loop.run_forever()

    assert publisher.published == 2
