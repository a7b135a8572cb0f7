"""At 100 events a second, missing events are found within one interval and within the request limit.

Time is simulated, so the interval takes only seconds. Every request is recorded with its simulated time. With
OM_TEST_CONVERSATIONS=4500, there are 90,000 events, as in 15 minutes at 100 events a second.
"""

import json
import os

import pytest

from simulator.platform import Organisation, create_platform
from tests.fakes.clock import FakeClock
from tests.integration.workers.conftest import ON_SQLITE
from tests.integration.workers.events import deliver, native
from tests.integration.workers.reconcile.conftest import run
from workers.genesys import GenesysSettings, PlatformBusyError, RequestBudget
from workers.handlers import OWN_HANDLERS
from workers.intake import Intake
from workers.reconcile import PlatformHistory, Reconciler, ReconcileSettings

LIMIT = 300
CONVERSATIONS = int(os.environ.get("OM_TEST_CONVERSATIONS", "60"))
LOST = 20
MINUTE_US = 60_000_000
INTERVAL_US = 15 * MINUTE_US


class Settle:
    """Takes one request a second from the same budget, as settling 60 routing updates a minute would."""

    def __init__(self, budget, clock):
        self._budget, self._clock, self.next_us = budget, clock, clock.now_us()
        self.asked, self.waited = [], 0

    def work(self):
        while self._clock.now_us() >= self.next_us:
            self.next_us += 1_000_000
            try:
                self._budget.take()
                self.asked.append(self._clock.now_us())
            except PlatformBusyError:
                self.waited += 1


class InProcessClient:
    """A platform client that uses no network; it records the time of each request."""

    def __init__(self, organisation, budget, clock, settle):
        self._client = create_platform(organisation).test_client()
        self._headers = {"Authorization": f"Bearer {organisation.issue_token()}"}
        self._budget, self._clock, self._settle = budget, clock, settle
        self.asked = []

    def get(self, path, **parameters):
        return self._ask(path, query_string=parameters)

    def query(self, path, content):
        return self._ask(path, json=content, method="POST")

    def _ask(self, path, **arguments):
        self._settle.work()
        self._budget.take()
        self.asked.append(self._clock.now_us())
        # Each answer takes some simulated time.
        self._clock.wait(0.02)
        return self._client.open(path, headers=self._headers, **arguments).get_json()


class Exchange:
    """A broker that accepts every event and records the time at which the event was published."""

    def __init__(self, clock):
        self._clock = clock
        self.published = {}

    def publish(self, envelopes):
        for each in envelopes:
            self.published[json.loads(each.body)["id"]] = self._clock.now_us()

    def count_waiting(self):
        return 0


def events_of(number):
    """Return a conversation's inbound messages, which cause no webhook, and its 20 events that cause one."""
    at = f"2027-01-15T08:05:00.{number % 1000:03d}Z"

    def make(message, **changes):
        payload = native(0, conversation=f"c-{number:05}", id=f"m-{number}-{message}", **changes)
        payload["channel"] |= {"time": at, "messageId": payload["id"]}
        return payload

    def receipt(message, status, direction):
        return make(message, kind="genesys/receipt-published", status=status, direction=direction)

    asked = [make(message, direction="Inbound") for message in range(2)]
    said = [make(message, direction="Outbound") for message in range(2, 8)]
    receipts = [receipt(message, "Published", "Inbound") for message in range(2)]
    for status in ("Published", "Delivered"):
        receipts += [receipt(message, status, "Outbound") for message in range(2, 8)]
    return asked, said + receipts


@pytest.fixture
def clock():
    return FakeClock(1_800_000_000.0)


@pytest.fixture
def organisation():
    return Organisation("client", "secret", requests_per_minute=10**9)


def converse(engine, clock, organisation):
    """Process conversations; some messages are lost although their receipts arrive."""
    intake = Intake(engine, OWN_HANDLERS, clock)
    for number in range(CONVERSATIONS):
        asked, notified = events_of(number)
        for payload in asked + notified:
            organisation.history.record(payload)
        is_lost = number % (CONVERSATIONS // LOST) == 0
        intake.process([deliver(payload) for payload in notified[is_lost:]])


@ON_SQLITE
def test_missing_events_are_found_within_one_interval_and_the_request_limit(
    engine, organisation, clock, capsys
):
    settle = Settle(RequestBudget(engine, "client", LIMIT, clock), clock)
    budget = RequestBudget(engine, "client", LIMIT, clock, is_background=True, wait=clock.wait)
    client = InProcessClient(organisation, budget, clock, settle)
    exchange = Exchange(clock)
    genesys = GenesysSettings("http://127.0.0.1", "http://127.0.0.1", "client", "secret", LIMIT)
    settings = ReconcileSettings(genesys=genesys)
    history = PlatformHistory(client)
    reconciler = Reconciler(engine, clock, history, exchange=exchange, settings=settings, holder="one")
    run(reconciler)
    client.asked.clear()
    clock.wait(INTERVAL_US / 1_000_000)
    converse(engine, clock, organisation)
    began_us = settle.next_us = clock.now_us()
    # The next comparison begins at once if the current comparison used up its interval.
    while clock.now_us() - began_us <= INTERVAL_US and reconciler.reconcile():
        pass
    lost = {f"m-{number}-2" for number in range(0, CONVERSATIONS, CONVERSATIONS // LOST)}
    everything = sorted(client.asked + settle.asked)
    report = {
        "events": 20 * CONVERSATIONS,
        "missing": len(exchange.published),
        "false": len(exchange.published.keys() - lost),
        "found_after_s": round((max(exchange.published.values()) - began_us) / 1_000_000),
        "ended_after_s": round((clock.now_us() - began_us) / 1_000_000),
        "requests": len(client.asked),
        "busiest_minute": max(sum(at <= each < at + MINUTE_US for each in everything) for at in everything),
        "routing_updates_that_waited": settle.waited,
    }
    with capsys.disabled():
        print(f"\nreconcile: {json.dumps(report)}")
    assert set(exchange.published) == lost
    assert max(exchange.published.values()) - began_us <= INTERVAL_US
    assert report["busiest_minute"] <= LIMIT
    assert settle.waited == 0
