"""Customers' messages reach the platform through an integrator's connector."""

import pytest

from simulator.platform import Organisation, create_platform
from simulator.platform.registrations import SECRET, URL

HOOK = "http://127.0.0.1:9/hook"


class Connector:
    """A connector that posts customers' messages to the simulated platform."""

    def __init__(self, organisation):
        self._client = create_platform(organisation).test_client()
        self._token = organisation.issue_token()
        integration = {"name": "i", URL: HOOK, SECRET: "constructed-secret-0123456789"}
        self.integration_id = organisation.registrations.create_integration(integration)["id"]

    def ask(self, method, path, body=None):
        headers = {"Authorization": f"Bearer {self._token}"}
        return self._client.open(f"/api/v2{path}", method=method, headers=headers, json=body)

    def write(self, text, *, customer="user-1", integration_id=None):
        path = f"/conversations/messages/{integration_id or self.integration_id}/inbound/open/message"
        channel = {"from": {"id": customer}, "time": "2026-01-01T00:00:00.000Z"}
        body = {"channel": channel, "text": text}
        return self.ask("POST", f"{path}?prefetchConversationId=true", body)


@pytest.fixture
def organisation():
    organisation = Organisation("client", "secret")
    yield organisation
    organisation.outbound.stop()


@pytest.fixture
def connector(organisation):
    return Connector(organisation)


def test_a_customer_continues_the_open_conversation_and_another_customer_begins_a_new_one(connector):
    first, second = connector.write("Hello").json, connector.write("Anybody there?").json
    other = connector.write("Hello", customer="user-2").json
    assert first["conversationId"] == second["conversationId"] != other["conversationId"]
    assert first["id"] != second["id"]
    conversation = connector.ask("GET", f"/conversations/{first['conversationId']}").json
    assert [participant["purpose"] for participant in conversation["participants"]] == ["customer", "acd"]


def test_an_incomplete_message_is_refused(connector):
    assert connector.write("Hello", integration_id="unknown").status_code == 404
    assert connector.write("").status_code == 400
    assert connector.write("Hello", customer="").status_code == 400


def test_each_answer_shows_how_much_of_the_rate_limit_is_used(connector, organisation):
    organisation.requests_per_minute = 2
    answers = [connector.ask("GET", "/conversations/unknown") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [404, 404, 429]
    assert [answer.headers["inin-ratelimit-count"] for answer in answers] == ["1", "2", "2"]
    assert len({answer.headers["inin-correlation-id"] for answer in answers}) == 3
    assert 0 < int(answers[2].headers["Retry-After"]) <= 61
