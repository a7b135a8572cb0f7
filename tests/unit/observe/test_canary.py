"""The canary's settings, and which body is one."""

import socket
import time

import pytest

from messaging.errors import ConfigurationError
from workers.db.canary import Canary, decode_canary
from workers.observe import CanarySender, CanarySettings, ObserveSettings
from workers.observe.probe import Probe

SENT_US = 1_700_000_000_000_000
URL = "https://events.example.com/webhooks/genesys/openmessaging"


def test_a_canary_is_read_as_it_was_sent():
    canary = Canary("vm-1", SENT_US)

    assert decode_canary(canary.encode()) == canary


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"7",
        b'{"eventType": "openmessaging:conversation:new"}',
        b'{"sender": "vm-1"}',
        b'{"sender": 1, "sent_at_us": 1700000000000000}',
        b'{"sender": "\\u0000", "sent_at_us": 1700000000000000}',
        b'{"sender": "vm-1", "sent_at_us": "now"}',
        b'{"sender": "vm-1", "sent_at_us": 1700000000000000.5}',
        b'{"sender": "vm-1", "sent_at_us": 1}',
        b'{"sender": "vm-1", "sent_at_us": 1700000000000000, "more": 1}',
        b"[" * 100_000,
    ],
)
def test_any_other_body_is_an_event(body):
    assert decode_canary(body) is None


@pytest.fixture
def read(monkeypatch):
    def read_with(**settings):
        basis = {"OM_DATABASE_URL": "sqlite:///x", "OM_AMQP_URL": "amqp://h/"}
        for name, value in (basis | settings).items():
            monkeypatch.setenv(name, value)
        return ObserveSettings.from_environment().canary

    return read_with


def test_it_is_signed_with_the_newest_secret_and_has_the_required_headers(read):
    canary = read(
        OM_CANARY_URL=URL, OM_WEBHOOK_SECRETS="new-secret,old", OM_REQUIRED_HEADERS="X-A=1, X-B=secret=2"
    )

    assert (canary.url, canary.secret, canary.headers) == (
        URL,
        b"new-secret",
        {"X-A": "1", "X-B": "secret=2"},
    )
    assert "secret" not in repr(canary)


def test_none_is_sent_without_an_address(read):
    assert read() is None


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"OM_CANARY_URL": "events.example.com"}, "must be the webhook's address"),
        ({"OM_CANARY_URL": "https:///x"}, "must be the webhook's address"),
        ({"OM_CANARY_URL": URL}, "needs OM_WEBHOOK_SECRETS"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused(read, settings, problem):
    with pytest.raises(ConfigurationError, match=problem):
        read(**settings)


def send_to(server, interval, **headers):
    settings = CanarySettings(f"http://127.0.0.1:{server.getsockname()[1]}/", None, headers)
    return CanarySender(settings, Probe("broker", lambda: None), Probe("canary", lambda: 0), interval)


@pytest.fixture
def silent_server():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def test_an_error_that_no_library_declares_is_a_fault_and_not_the_end_of_the_thread(silent_server):
    # http.client cannot encode this header.
    sender = send_to(silent_server, 60.0, Source="\u2026")
    deadline = time.monotonic() + 20.0
    while sender.finished_at is None and time.monotonic() < deadline:
        time.sleep(0.01)

    assert str(sender.fault) == "gateway: could not be asked: UnicodeEncodeError"
    assert sender.is_current


def test_a_result_is_unknown_before_the_first_attempt_ends_and_three_intervals_after_the_last(silent_server):
    sender = send_to(silent_server, 60.0)

    assert not sender.is_current
    sender.finished_at = time.monotonic() - 170.0
    assert sender.is_current
    sender.finished_at = time.monotonic() - 190.0
    assert not sender.is_current
