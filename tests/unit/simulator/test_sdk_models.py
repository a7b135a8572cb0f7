"""The simulated platform's answers and notifications, and our requests, follow the models of Genesys' SDK."""

import json
from pathlib import Path

import pytest

from simulator.platform import Conversation, Participant
from simulator.platform.chats import Chats
from simulator.platform.registrations import SECRET, URL
from tests.sdk_models import faults, require_sdk
from workers.reconcile.platform_history import PlatformHistory

PAYLOADS = Path(__file__).parents[2] / "payloads" / "genesys"
INTEGRATIONS = "/conversations/messaging/integrations/open"
INTEGRATION = {
    "name": "Ingest",
    URL: "https://api.example/webhooks/genesys/openmessaging",
    SECRET: "constructed-secret-0123456789",
    "webhookHeaders": {"X-Webhook-Source": "genesys-cloud"},
}
QUERY = {
    "interval": "2020-01-01T00:00:00.000Z/2030-01-01T00:00:00.000Z",
    "paging": {"pageSize": 10, "pageNumber": 1},
}
BEYOND = {
    "$.conversationId is no field of ConversationNormalizedMessage",
    "$.channel.metadata is no field of ConversationMessagingChannel",
}
"""Faults to ignore: real notifications have these fields, and other models of the SDK declare them."""


@pytest.fixture(autouse=True)
def sdk():
    require_sdk()


@pytest.fixture(autouse=True)
def _conversation(organisation):
    """Put a conversation with the tests' payloads into the platform."""
    queue = Participant("acd", queue_id="q1", end_time="2026-01-01T00:01:00.000Z")
    participants = [Participant("customer"), queue, Participant("agent", user_id="u1")]
    organisation.put(Conversation("c1", "2026-01-01T00:00:00.000Z", participants=participants))
    for path in PAYLOADS.glob("*.json"):
        organisation.history.record({**json.loads(path.read_text()), "conversationId": "c1"})


def assert_is(kind, value):
    assert value, "an empty answer would prove nothing"
    assert list(faults(kind, value)) == []


@pytest.mark.parametrize(
    ("kind", "method", "path", "body"),
    [
        ("Conversation", "GET", "/conversations/c1", None),
        ("IpAddressRangeListing", "GET", "/ipranges", None),
        ("ErrorBody", "GET", "/conversations/unknown", None),
        ("ErrorBody", "POST", INTEGRATIONS, {"name": "Incomplete"}),
        ("AnalyticsConversationQueryResponse", "POST", "/analytics/conversations/details/query", QUERY),
    ],
)
def test_an_answer_follows_its_model_in_the_sdk(ask, kind, method, path, body):
    answer = ask(method, path, body).json
    assert_is(kind, answer)
    assert answer.get("conversations") != []


def test_integrations_follow_their_models_in_the_sdk(ask):
    assert_is("OpenIntegrationRequest", INTEGRATION)
    created = ask("POST", INTEGRATIONS, INTEGRATION).json
    assert_is("OpenIntegration", created)
    assert_is("OpenIntegration", ask("GET", f"{INTEGRATIONS}/{created['id']}").json)
    assert_is("OpenIntegrationUpdateRequest", {"name": "Ingest", SECRET: "constructed-secret-9876543210"})
    assert_is("OpenIntegration", ask("PATCH", f"{INTEGRATIONS}/{created['id']}", {"name": "Renamed"}).json)
    assert_is("OpenIntegrationEntityListing", ask("GET", INTEGRATIONS).json)


def test_the_messages_of_a_conversation_follow_their_models_in_the_sdk(ask):
    conversation = ask("GET", "/conversations/messages/c1").json
    assert_is("MessageConversation", conversation)
    ids = [message["messageId"] for one in conversation["participants"] for message in one["messages"]]
    assert_is("TextMessageListing", ask("POST", "/conversations/messages/c1/messages/bulk", ids).json)


def test_the_query_of_reconcile_follows_its_model_in_the_sdk():
    queries = []

    class Client:
        def query(self, _path, content):
            queries.append(content)
            return {"conversations": []}

    PlatformHistory(Client()).list_conversations(1_700_000_000_000_000, 1_700_000_900_000_000, 1)
    assert_is("ConversationQuery", queries[0])


def test_a_customers_message_and_its_answer_follow_their_models_in_the_sdk(ask, organisation):
    integration = organisation.registrations.create_integration(INTEGRATION)
    path = f"/conversations/messages/{integration['id']}/inbound/open/message?prefetchConversationId=true"
    sender = {"id": "user-1", "idType": "Opaque", "nickname": "Jane"}
    message = {"channel": {"from": sender, "time": "2026-01-01T00:00:00.000Z"}, "text": "Hello"}
    assert_is("OpenInboundNormalizedMessage", message)
    answer = ask("POST", path, message).json
    assert_is("OpenMessageNormalizedMessage", answer)
    assert_is("Conversation", ask("GET", f"/conversations/{answer['conversationId']}").json)
    assert_is("ErrorBody", ask("POST", path, {"text": "without a channel"}).json)


def is_notification(payload):
    return set(faults("ConversationNormalizedMessage", payload)) <= BEYOND


@pytest.mark.parametrize("author", ["customer", "agent"])
def test_the_notifications_of_the_simulators_page_follow_their_model_in_the_sdk(organisation, author):
    organisation.registrations.create_integration(INTEGRATION)
    chats = Chats(organisation)
    conversation_id, _ = chats.begin("customer-1", "Hello", is_lost=True)
    chats.write(conversation_id, author, "Hello again", is_lost=True)
    assert all(is_notification(delivery.payload) for delivery in organisation.outbound.deliveries)


@pytest.mark.parametrize("path", sorted(PAYLOADS.glob("*.json")), ids=lambda path: path.stem)
def test_the_payloads_of_the_tests_follow_their_model_in_the_sdk(path):
    assert is_notification(json.loads(path.read_text()))


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ({"invented": 1}, "invented is no field of OpenIntegration"),
        ({"createStatus": "Invented"}, "enumeration"),
        ({"webhookHeaders": {"a": 1}}, "webhookHeaders.a is no str"),
        ({"dateCreated": "yesterday"}, "dateCreated is no datetime"),
        ({"createError": {"status": "500"}}, "createError.status is no int"),
        ([], "is no OpenIntegration"),
    ],
)
def test_a_value_that_the_sdk_cannot_parse_is_reported(value, fault):
    (found,) = faults("OpenIntegration", value)
    assert fault in found
