"""A comparison of many conversations: within the request limit, and on where it was after a kill.

Time is simulated, so that hours pass in seconds; requests are the platform's own count.
"""

import pytest

from messaging.errors import OpenMessagingError
from simulator.platform import Organisation, create_platform
from tests.integration.workers.events import native
from tests.integration.workers.reconcile.reconcilers import reconciler_of
from workers.genesys import GenesysSettings, RequestBudget
from workers.reconcile import PlatformHistory, ReconcileSettings
from workers.tables import engine_of

LIMIT = 300
CONVERSATIONS = 150
PAGES = 2
MINUTE_US = 60_000_000


class SimulatedTime:
    """A clock that moves when somebody waits."""

    def __init__(self):
        self.us = 1_800_000_000_000_000

    def now_us(self):
        return self.us

    def monotonic(self):
        return self.us / 1_000_000

    def wait(self, seconds):
        self.us += round(seconds * 1_000_000) + 1


class KilledError(OpenMessagingError):
    """The process ends here, without a word."""


class InProcessClient:
    """The platform without a network; notes when it was asked."""

    def __init__(self, organisation, budget, clock):
        self._client = create_platform(organisation).test_client()
        self._headers = {"Authorization": f"Bearer {organisation.issue_token()}"}
        self._budget = budget
        self._clock = clock
        self.asked = []
        self.killed_after = None

    def get(self, path):
        return self._ask(path)

    def query(self, path, content):
        return self._ask(path, json=content, method="POST")

    def _ask(self, path, **arguments):
        if self.killed_after is not None and len(self.asked) >= self.killed_after:
            raise KilledError
        self._budget.take()
        self.asked.append((self._clock.now_us(), path))
        # An answer takes a moment.
        self._clock.wait(0.02)
        return self._client.open(path, headers=self._headers, **arguments).get_json()


class Exchange:
    """A broker that takes everything."""

    def __init__(self):
        self.published = []

    def publish(self, envelopes):
        self.published += envelopes

    def waiting(self):
        return 0


@pytest.fixture
def clock():
    return SimulatedTime()


@pytest.fixture
def organisation(clock):
    """Many conversations, each with one message that never came."""
    organisation = Organisation("client", "secret", requests_per_minute=10**9)
    moment = "2027-01-15T08:05:00.{:03d}Z"
    for number in range(CONVERSATIONS):
        payload = native(number, conversation=f"c-{number:05}")
        payload["channel"]["time"] = moment.format(number % 1000)
        organisation.history.record(payload)
    return organisation


@pytest.fixture
def make(migrated_sqlite_url, organisation, clock):
    """Make one process: its reconciler, its client, its exchange."""
    engine = engine_of(migrated_sqlite_url)

    def make(holder):
        budget = RequestBudget(engine, "client", LIMIT, clock, is_background=True, wait=clock.wait)
        client = InProcessClient(organisation, budget, clock)
        history, exchange = PlatformHistory(client), Exchange()
        genesys = GenesysSettings("http://127.0.0.1", "http://127.0.0.1", "client", "secret", LIMIT)
        settings = ReconcileSettings(genesys, (), migrated_sqlite_url, margin_seconds=0.0)
        return (
            reconciler_of(engine, clock, history, exchange=exchange, settings=settings, holder=holder),
            client,
            exchange,
        )

    yield make
    engine.dispose()


def run(reconciler):
    while reconciler.reconcile():
        pass


def busiest_minute(asked):
    moments = [at for at, _ in asked]
    return max(sum(start <= at < start + MINUTE_US for at in moments) for start in moments)


def test_many_conversations_stay_within_the_limit_and_a_kill_costs_what_was_in_hand(make, clock):
    first, client, published = make("first")
    begun_us = clock.us
    run(first)
    clock.us = begun_us + 15 * MINUTE_US
    client.asked.clear()
    client.killed_after = CONVERSATIONS
    with pytest.raises(KilledError):
        run(first)
    clock.wait(180)
    other, client_after, published_after = make("other")
    run(other)

    asked = client.asked + client_after.asked
    assert busiest_minute(asked) <= LIMIT
    # Two requests a conversation, the pages of the list, and the conversation that was in hand once more.
    assert 2 * CONVERSATIONS <= len(asked) - PAGES <= 2 * CONVERSATIONS + 2
    copies = [each.message_id for each in published.published + published_after.published]
    assert len(set(copies)) == len(copies) == CONVERSATIONS
    # As fast as the limit allows, but for the pause after the kill.
    minutes = (clock.us - begun_us) / MINUTE_US - 15 - 3
    assert minutes < len(asked) / (LIMIT * 0.9) + 1
