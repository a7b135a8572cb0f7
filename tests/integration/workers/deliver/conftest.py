"""Fixtures for tests of the deliver role: a receiver, and a database with deliveries to that receiver."""

import pytest

from simulator.receiver import Inbox, serve_receiver
from tests.integration.workers.deliver.stand import SECRET, Stand
from workers.deliver import EVENT_TYPES, outcome


@pytest.fixture
def inbox():
    return Inbox({"crm": SECRET, "content": SECRET})


@pytest.fixture
def receiver_url(inbox):
    with serve_receiver(inbox) as url:
        yield url


@pytest.fixture
def destination_names():
    return ("crm", "content")


@pytest.fixture
def destinations_file(destination_names, receiver_url, tmp_path):
    """The path of a file with destinations at the receiver."""
    path = tmp_path / "destinations.toml"
    for name in destination_names:
        with path.open("a") as file:
            file.write(f'[destinations.{name}]\nurl = "{receiver_url}/{name}"\nsecret = "{SECRET}"\n')
            file.write(f"events = {list(EVENT_TYPES)!r}\ntimeout = 2\n")
    return str(path)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(outcome, "FIRST_SECONDS", 0.02)


@pytest.fixture
def stand(engine, intake, inbox, receiver_url):
    return Stand(engine, intake, inbox, receiver_url)
