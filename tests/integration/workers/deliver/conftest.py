"""Fixtures of the tests of deliver: a receiver, and a database with deliveries to it."""

import pytest

from simulator.receiver import Inbox, serve_receiver
from tests.integration.workers.deliver.stand import SECRET, Stand
from workers.deliver import outcome


@pytest.fixture
def inbox():
    return Inbox({"crm": SECRET, "content": SECRET})


@pytest.fixture
def receiver_url(inbox):
    with serve_receiver(inbox) as url:
        yield url


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(outcome, "FIRST_SECONDS", 0.02)


@pytest.fixture
def stand(engine, intake, inbox, receiver_url):
    return Stand(engine, intake, inbox, receiver_url)
