"""The simulated platform posts its webhooks to a real server whose answers the test controls."""

from contextlib import contextmanager

import pytest
from flask import Flask, request

from simulator.platform import Organisation
from simulator.platform.registrations import SECRET, URL, ApiError
from simulator.sender import RetryPolicy
from simulator.serving import serve_app
from tests.servers import LOOPBACK

FIRST, SECOND = "constructed-secret-0123456789", "constructed-secret-9876543210"
GUIDE = {"maxRetries": 5, "retryIntervalSeconds": 5, "backoffMultiplier": 2.0}
PAYLOAD = {"id": "1", "text": "Grüße 👋"}


@contextmanager
def receiver(answer):
    """Answer each request with the status that `answer(body, headers)` returns; yield the receiver's URL."""
    app = Flask(__name__)
    app.post("/hook")(lambda: ("", answer(request.get_data(), request.headers)))
    with serve_app(app) as url:
        yield f"{url}/hook"


@pytest.fixture
def organisation():
    organisation = Organisation("client", "secret")
    organisation.outbound.policy = RetryPolicy((0.02, 0.02), timeout=5.0)
    return organisation


def sent(organisation, url, registration_id="w1"):
    delivery = organisation.outbound.send(registration_id, url, {"X-Static": "value"}, PAYLOAD)
    organisation.outbound.wait()
    return delivery


@pytest.mark.parametrize(
    ("answers", "state"),
    [
        ([503, 429, 200], "answered"),
        ([503, 503, 503], "given up"),
        ([400], "refused"),
        ([503, 401], "refused"),
    ],
)
def test_only_a_temporary_refusal_is_retried(organisation, answers, state):
    left = list(answers)
    with receiver(lambda _body, _headers: left.pop(0)) as url:
        delivery = sent(organisation, url)
    assert (delivery.state, [status for status, _ in delivery.attempts]) == (state, answers)


def test_a_delivery_to_an_unreachable_receiver_is_retried_and_then_given_up(organisation):
    delivery = sent(organisation, f"http://{LOOPBACK}:9/hook")
    assert (delivery.state, [status for status, _ in delivery.attempts]) == ("given up", [None] * 3)


def test_a_webhook_without_a_secret_is_not_signed_with_an_integrations_secret(organisation):
    seen = []

    def answer(_body, headers):
        seen.append("X-Hub-Signature-256" in headers)
        return 200

    registrations = organisation.registrations
    with receiver(answer) as url:
        registrations.create_integration({"name": "i", URL: url, SECRET: FIRST})
        targets = ({"url": url, "authType": "none"}, {"url": url, "secret": SECOND})
        for target in targets:
            sent(organisation, url, registrations.put_webhook({"name": "w", "target": target})["id"])
    assert seen == [False, True]


@pytest.mark.parametrize(("retries", "attempts"), [(0, 1), (1, 2), (3, 4)])
def test_a_webhooks_own_retry_policy_replaces_the_documented_policy(organisation, retries, attempts):
    policy = {"maxRetries": retries, "retryIntervalSeconds": 0.01, "backoffMultiplier": 2.0}
    with receiver(lambda _body, _headers: 503) as url:
        webhook = {"name": "w", "target": {"url": url}, "retryPolicy": policy}
        delivery = sent(organisation, url, organisation.registrations.put_webhook(webhook)["id"])
    assert (delivery.state, len(delivery.attempts)) == ("given up", attempts)


@pytest.mark.parametrize(
    "policy",
    [{}, {"maxRetries": 5}, "often", {**GUIDE, "maxRetries": "5"}, {**GUIDE, "backoffMultiplier": 1e300}],
)
def test_a_malformed_retry_policy_is_refused(organisation, policy):
    with pytest.raises(ApiError, match="retryPolicy"):
        organisation.registrations.put_webhook(
            {"name": "w", "target": {"url": "http://x"}, "retryPolicy": policy}
        )


def test_the_statistics_count_every_delivery(organisation):
    left = [200, 503, 200, 400, 200]
    assert organisation.outbound.statistics("w1")["successRate"] is None
    with receiver(lambda _body, _headers: left.pop(0)) as url:
        for _ in range(4):
            sent(organisation, url)
    organisation.outbound.lose("w1", PAYLOAD)
    statistics = organisation.outbound.statistics("w1")
    assert statistics.pop("since")
    assert statistics == {"sent": 4, "succeeded": 3, "failed": 1, "retries": 1, "successRate": 75.0}
