"""Failed receipts for messages that were given up on are sent to the simulated platform."""

import pytest

from messaging.clock import SystemClock
from simulator.platform import Fault
from tests.integration.workers.conftest import CLIENT_SECRET
from tests.integration.workers.events import deliver, payload_of, said
from tests.services import declare_topology
from workers.deliver import DeadLetterPublisher
from workers.genesys import FailedReceipts, GenesysClient, GenesysSettings

TEXT = payload_of("genesys/text")
OUTCOMES = "SELECT destination, outcome, attempts FROM failed_receipts"


@pytest.fixture
def receipts(engine, platform_url):
    # No budget is used, because after a 429 a budget makes every caller wait for several seconds.
    client = GenesysClient(GenesysSettings(platform_url, platform_url, "client", CLIENT_SECRET), None)
    return FailedReceipts(engine, SystemClock(), {"content"}, client)


@pytest.fixture
def give_up(engine, stand, inbox, vhost):
    """Return a function that makes both destinations refuse a message and publishes its dead letters."""
    declare_topology(vhost.amqp_url)

    def refuse(receipts, payload):
        inbox.fault_for = lambda sent: Fault(422) if sent.event_type.endswith("message") else None
        stand.deliver_all(deliver(payload), to=[stand.content, stand.crm])
        publisher = DeadLetterPublisher(engine, SystemClock(), (vhost.amqp_url,), receipts)
        while publisher.publish_dead_letters():
            pass

    return refuse


def test_an_agent_gets_one_receipt_for_a_message_that_was_given_up(give_up, receipts, organisation, query):
    give_up(receipts, TEXT)
    assert [receipts.send_failed_receipts() for _ in range(2)] == [1, 0]
    [receipt] = organisation.receipts
    assert receipt["integration"] == TEXT["channel"]["id"]
    assert (receipt["id"], receipt["status"], receipt["isFinalReceipt"]) == (TEXT["id"], "Failed", True)
    assert receipt["reasons"] == [{"code": "GeneralError", "message": "Not delivered: 422"}]
    assert receipt["channel"]["to"] == {"id": TEXT["channel"]["to"]["id"], "idType": "Opaque"}
    assert query(OUTCOMES) == [("content", "sent", 1)]


@pytest.mark.parametrize(
    ("payload", "is_named"),
    [(said("a customer's"), True), (TEXT | {"direction": "Inbound"}, True), (TEXT, False)],
)
def test_only_agents_messages_to_named_destinations_get_receipts(give_up, receipts, query, payload, is_named):
    give_up(receipts if is_named else None, payload)
    assert query("SELECT count(*) FROM dead_letters") == [(2,)]
    assert query(OUTCOMES) == []
