"""Fixtures for tests of comparisons: a clock that the test moves, and reconcilers that use that clock."""

import pytest
from flask import request

from tests.fakes.clock import MovedClock
from tests.integration.workers.conftest import CLIENT_SECRET, REQUESTS_PER_MINUTE
from tests.integration.workers.events import deliver
from workers.genesys import GenesysSettings, client, open_client
from workers.reconcile import EventsExchange, PlatformHistory, Reconciler, ReconcileSettings

HOUR_US = 3_600_000_000
GAPS = "SELECT platform_message_id, event_type, became FROM reconciliation_gaps_v1 ORDER BY 1, 2"
LAST = " FROM reconciliations ORDER BY id DESC LIMIT 1"


def run(reconciler):
    """Reconcile step by step until no step is left, and return the number of steps."""
    return sum(iter(reconciler.reconcile, 0))


@pytest.fixture
def clock():
    return MovedClock()


@pytest.fixture
def make_reconciler(platform_url, engine, migrated_url, vhost, channel, clock):  # noqa: PLR0917  # fixtures
    """Return a function that makes the reconciler of one process."""

    def make(holder="one", amqp_url=vhost.amqp_url):
        genesys = GenesysSettings(platform_url, platform_url, "client", CLIENT_SECRET, REQUESTS_PER_MINUTE)
        settings = ReconcileSettings(genesys=genesys)
        history = PlatformHistory(open_client(genesys, engine, clock, is_background=True))
        exchange = EventsExchange((amqp_url,))
        return Reconciler(engine, clock, history, exchange=exchange, settings=settings, holder=holder)

    return make


@pytest.fixture
def started(make_reconciler, clock):
    """A reconciler whose first comparison was an hour ago."""
    reconciler = make_reconciler()
    clock.ahead_us = -HOUR_US
    run(reconciler)
    clock.ahead_us = 0
    return reconciler


@pytest.fixture
def compare(started, clock):
    """Return a function that compares again, *hours* after the present, until no step is left."""

    def compare(hours=0.0):
        clock.ahead_us = round(hours * HOUR_US)
        return run(started)

    return compare


@pytest.fixture
def take(organisation, intake):
    """Return a function that adds messages to the history and processes all except those in *lost*."""

    def take(payloads, lost=()):
        for payload in payloads:
            organisation.history.record(payload)
        intake(*[deliver(payload) for payload in payloads if payload not in lost])

    return take


@pytest.fixture
def fail(organisation, monkeypatch):
    """Return a function that makes requests fail if their URLs contain given words; retries do not wait."""

    def fail(faults):
        def next_fault(_method):
            return next((fault for name, fault in faults.items() if name in request.full_path), None)

        monkeypatch.setattr(organisation, "next_fault", next_fault)

    monkeypatch.setattr(client, "RETRY_SECONDS", 0.0)
    return fail
