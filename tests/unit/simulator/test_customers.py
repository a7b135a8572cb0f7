"""Customers' messages reach the platform through an integrator's connector."""

import pytest

from simulator.platform.registrations import SECRET, URL

HOOK = "http://127.0.0.1:9/hook"


@pytest.fixture
def write(organisation, ask):
    """A function that posts a customer's message as an integrator's connector does."""
    integration = {"name": "i", URL: HOOK, SECRET: "constructed-secret-0123456789"}
    created = organisation.registrations.create_integration(integration)["id"]

    def write(text, *, customer="user-1", integration_id=created):
        path = f"/conversations/messages/{integration_id}/inbound/open/message"
        channel = {"from": {"id": customer}, "time": "2026-01-01T00:00:00.000Z"}
        return ask("POST", f"{path}?prefetchConversationId=true", {"channel": channel, "text": text})

    return write


def test_a_customer_continues_the_open_conversation_and_another_customer_begins_a_new_one(write, ask):
    first, second = write("Hello").json, write("Anybody there?").json
    other = write("Hello", customer="user-2").json
    assert first["conversationId"] == second["conversationId"] != other["conversationId"]
    assert first["id"] != second["id"]
    conversation = ask("GET", f"/conversations/{first['conversationId']}").json
    assert [participant["purpose"] for participant in conversation["participants"]] == ["customer", "acd"]


def test_an_incomplete_message_is_refused(write):
    assert write("Hello", integration_id="unknown").status_code == 404
    assert write("").status_code == 400
    assert write("Hello", customer="").status_code == 400


def test_each_answer_shows_how_much_of_the_rate_limit_is_used(ask, organisation):
    organisation.requests_per_minute = 2
    answers = [ask("GET", "/conversations/unknown") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [404, 404, 429]
    assert [answer.headers["inin-ratelimit-count"] for answer in answers] == ["1", "2", "2"]
    assert len({answer.headers["inin-correlation-id"] for answer in answers}) == 3
    assert 0 < int(answers[2].headers["Retry-After"]) <= 61
