"""What the simulated platform answers and posts, and what we send, parses by the official SDK's models."""

import json
from pathlib import Path

import pytest

from simulator.platform import Conversation, Organisation, Participant, create_platform
from simulator.platform.chats import Chats
from simulator.platform.registrations import SECRET, URL
from tests.sdk_models import faults, require_sdk
from workers.reconcile.platform_history import PlatformHistory

PAYLOADS = Path(__file__).parents[2] / "payloads" / "genesys"
INTEGRATION = {
    "name": "Ingest",
    URL: "https://api.example/webhooks/genesys/openmessaging",
    SECRET: "constructed-secret-0123456789",
    "webhookHeaders": {"X-Webhook-Source": "genesys-cloud"},
}
BEYOND = {
    "$.conversationId is no field of ConversationNormalizedMessage",
    "$.channel.metadata is no field of ConversationMessagingChannel",
}
"""What notifications were seen to have, and other models of the SDK do: not the one with all the rest."""

INTEGRATIONS = "/api/v2/conversations/messaging/integrations/open"


@pytest.fixture(autouse=True)
def sdk():
    require_sdk()


@pytest.fixture
def organisation():
    organisation = Organisation("client", "secret")
    queue = Participant("acd", queue_id="q1", end_time="2026-01-01T00:01:00.000Z")
    people = [Participant("customer"), queue, Participant("agent", user_id="u1")]
    organisation.put(Conversation("c1", "2026-01-01T00:00:00.000Z", participants=people))
    for path in PAYLOADS.glob("*.json"):
        organisation.history.record({**json.loads(path.read_text()), "conversationId": "c1"})
    return organisation


@pytest.fixture
def ask(organisation):
    client = create_platform(organisation).test_client()
    token = organisation.issue_token()

    def send(method, path, body=None):
        headers = {"Authorization": f"Bearer {token}"}
        return client.open(f"/api/v2{path}", method=method, headers=headers, json=body).get_json()

    return send


def assert_is(kind, value):
    assert value, "an empty answer would prove nothing"
    assert list(faults(kind, value)) == []


def test_a_conversation(ask):
    assert_is("Conversation", ask("GET", "/conversations/c1"))


def test_the_address_ranges(ask):
    assert_is("IpAddressRangeListing", ask("GET", "/ipranges"))


def test_a_refusal(ask):
    assert_is("ErrorBody", ask("GET", "/conversations/unknown"))
    assert_is("ErrorBody", ask("POST", INTEGRATIONS.removeprefix("/api/v2"), {"name": "Incomplete"}))


def test_an_integration_from_its_request_to_its_listing(ask):
    path = INTEGRATIONS.removeprefix("/api/v2")
    assert_is("OpenIntegrationRequest", INTEGRATION)
    created = ask("POST", path, INTEGRATION)
    assert_is("OpenIntegration", created)
    assert_is("OpenIntegration", ask("GET", f"{path}/{created['id']}"))
    assert_is("OpenIntegrationUpdateRequest", {"name": "Ingest", SECRET: "constructed-secret-9876543210"})
    assert_is("OpenIntegration", ask("PATCH", f"{path}/{created['id']}", {"name": "Renamed"}))
    assert_is("OpenIntegrationEntityListing", ask("GET", path))


def test_what_was_said_in_a_conversation(ask):
    conversation = ask("GET", "/conversations/messages/c1")
    assert_is("MessageConversation", conversation)
    ids = [each["messageId"] for one in conversation["participants"] for each in one["messages"]]
    assert_is("TextMessageListing", ask("POST", "/conversations/messages/c1/messages/bulk", ids))


def test_the_conversations_of_a_time(ask):
    query = {
        "interval": "2020-01-01T00:00:00.000Z/2030-01-01T00:00:00.000Z",
        "paging": {"pageSize": 10, "pageNumber": 1},
    }
    found = ask("POST", "/analytics/conversations/details/query", query)
    assert found["conversations"]
    assert_is("AnalyticsConversationQueryResponse", found)


def test_what_the_reconciliation_asks_for():
    asked = []

    class Client:
        def query(self, _path, content):
            asked.append(content)
            return {"conversations": []}

    PlatformHistory(Client()).list_conversations(1_700_000_000_000_000, 1_700_000_900_000_000, 1)
    assert_is("ConversationQuery", asked[0])


def test_a_customer_s_message_and_its_answer(ask, organisation):
    integration = organisation.registrations.create_integration(INTEGRATION)
    path = f"/conversations/messages/{integration['id']}/inbound/open/message?prefetchConversationId=true"
    sender = {"id": "user-1", "idType": "Opaque", "nickname": "Jane"}
    message = {"channel": {"from": sender, "time": "2026-01-01T00:00:00.000Z"}, "text": "Hello"}
    assert_is("OpenInboundNormalizedMessage", message)
    first, second = ask("POST", path, message), ask("POST", path, {**message, "text": "Anybody there?"})
    assert_is("OpenMessageNormalizedMessage", first)
    assert first["conversationId"] == second["conversationId"]
    assert_is("Conversation", ask("GET", f"/conversations/{first['conversationId']}"))
    assert_is("ErrorBody", ask("POST", path, {"text": "without a channel"}))


@pytest.mark.parametrize("author", ["customer", "agent"])
def test_what_the_page_posts_to_an_integration(organisation, author):
    organisation.registrations.create_integration(INTEGRATION)
    chats = Chats(organisation)
    conversation_id, _ = chats.begin("customer-1", "Hello", is_lost=True)
    chats.write(conversation_id, author, "Hello again", is_lost=True)
    for delivery in organisation.outbound.deliveries:
        assert_is_a_notification(delivery.payload)


@pytest.mark.parametrize("path", sorted(PAYLOADS.glob("*.json")), ids=lambda path: path.stem)
def test_the_payloads_of_the_tests(path):
    assert_is_a_notification(json.loads(path.read_text()))


def assert_is_a_notification(payload):
    assert set(faults("ConversationNormalizedMessage", payload)) <= BEYOND


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
def test_what_does_not_parse_is_found(value, fault):
    (found,) = faults("OpenIntegration", value)
    assert fault in found
