"""The canary's settings are checked, its body is recognised, and its result becomes a light and metrics."""

import pytest

from messaging.errors import ConfigurationError
from simulator.serving import serve_app
from workers.db.canary import Canary, decode_canary
from workers.observe import CanarySettings, ObserveSettings
from workers.observe.canary import CanaryStoppedError, post
from workers.observe.collector import _build_canary_metrics
from workers.observe.probe import Reading
from workers.observe.status.overview import _canary_light

SENT_US = 1_700_000_000_000_000
URL = "https://events.example.com/webhooks/genesys/openmessaging"


def test_decoding_an_encoded_canary_returns_the_same_canary():
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
def test_no_other_body_is_decoded_as_a_canary(body):
    assert decode_canary(body) is None


@pytest.fixture
def read(monkeypatch):
    def read_with(**settings):
        basis = {"OM_DATABASE_URL": "sqlite:///x", "OM_AMQP_URL": "amqp://h/"}
        for name, value in (basis | settings).items():
            monkeypatch.setenv(name, value)
        return ObserveSettings.from_environment().canary

    return read_with


def test_the_canary_has_the_newest_secret_and_the_required_headers(read):
    canary = read(
        OM_CANARY_URL=URL, OM_WEBHOOK_SECRETS="new-secret,old", OM_REQUIRED_HEADERS="X-A=1, X-B=secret=2"
    )
    assert (canary.url, canary.secret, canary.headers) == (
        URL,
        b"new-secret",
        {"X-A": "1", "X-B": "secret=2"},
    )
    assert "secret" not in repr(canary)


def test_no_canary_is_sent_without_an_address(read):
    assert read() is None


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"OM_CANARY_URL": "events.example.com"}, "must be the webhook's address"),
        ({"OM_CANARY_URL": "http://events.example.com/"}, "with https:// unless it is on this host"),
        ({"OM_CANARY_URL": "https:///x"}, "must be the webhook's address"),
        ({"OM_CANARY_URL": URL}, "needs OM_WEBHOOK_SECRETS"),
    ],
)
def test_an_unusable_canary_address_is_refused(read, settings, problem):
    with pytest.raises(ConfigurationError, match=problem):
        read(**settings)


def test_an_unexpected_error_of_the_request_is_attributed_to_the_gateway():
    # The request fails, because http.client cannot encode this header.
    settings = CanarySettings("http://127.0.0.1:9/", None, {"Source": "\u2026"})
    with pytest.raises(
        CanaryStoppedError, match=r"^gateway: cannot be sent: check OM_CANARY_URL and OM_REQUIRED_HEADERS$"
    ):
        post(settings, Canary("vm-1", SENT_US))


@pytest.mark.parametrize(
    ("status", "kind", "stage"),
    [
        (429, "application/json", "edge: refuses events for now"),
        (429, "text/html", "gateway: answers 429"),
        (503, "text/html", "gateway: answers 503"),
        (502, "text/html", "edge: does not answer the gateway"),
    ],
)
def test_a_refusal_by_the_gateway_itself_is_not_attributed_to_the_edge(status, kind, stage):
    def app(_environ, start_response):
        start_response(f"{status} Refused", [("Content-Type", kind), ("Content-Length", "0")])
        return []

    with serve_app(app) as url, pytest.raises(CanaryStoppedError, match=f"^{stage}"):
        post(CanarySettings(url, None, {}), Canary("vm-1", SENT_US))


def reading(problem=None, value=None):
    return Reading(value, None, problem)


@pytest.mark.parametrize(
    ("found", "state", "stopped"),
    [
        (reading(), "up", None),
        (reading("intake: it was answered 200", 0.4), "down", "intake"),
        (reading("has not answered yet"), "unknown", "unknown"),
        (reading("hangs: it accepts the request but does not answer"), "unknown", "unknown"),
    ],
)
def test_a_canary_in_an_unknown_state_is_neither_up_nor_down(found, state, stopped):
    samples = [sample for metric in _build_canary_metrics(found) for sample in metric.samples]
    stages = [sample.labels["stage"] for sample in samples if sample.labels and sample.value]
    assert _canary_light(found)["state"] == state
    assert stages == ([stopped] if stopped else [])
    assert bool(_canary_light(found)["problem"]) == (state == "down")
