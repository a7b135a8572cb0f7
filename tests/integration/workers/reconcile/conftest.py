"""Fixtures of tests of comparisons: a clock to move, and reconcilers that use it."""

import pytest
from flask import request

from tests.fakes.clock import MovedClock
from tests.integration.workers.conftest import CLIENT_SECRET, REQUESTS_PER_MINUTE
from tests.integration.workers.reconcile.comparing import HOUR_US, run
from workers.genesys import GenesysSettings, client
from workers.reconcile import EventsExchange, Reconciler, ReconcileSettings, open_platform_history


@pytest.fixture
def clock():
    return MovedClock()


@pytest.fixture
def make_reconciler(platform_url, engine, migrated_url, vhost, channel, clock):  # noqa: PLR0917  # fixtures
    """Make one process's reconciler."""

    def make(holder="one", amqp_url=vhost.amqp_url):
        genesys = GenesysSettings(platform_url, platform_url, "client", CLIENT_SECRET, REQUESTS_PER_MINUTE)
        settings = ReconcileSettings(genesys=genesys)
        history = open_platform_history(genesys, engine, clock)
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
def fail(organisation, monkeypatch):
    """Let every request fail whose path contains one of these names; retries do not wait."""

    def fail(faults):
        def next_fault(_method):
            return next((fault for name, fault in faults.items() if name in request.path), None)

        monkeypatch.setattr(organisation, "next_fault", next_fault)

    monkeypatch.setattr(client, "RETRY_SECONDS", 0.0)
    return fail
