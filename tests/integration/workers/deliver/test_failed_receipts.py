"""Failed receipts for messages that were given up on are sent to the simulated platform."""

import pytest

from messaging.clock import SystemClock
from simulator.platform import Fault
from tests.fakes.clock import MovedClock
from tests.integration.workers.conftest import CLIENT_SECRET
from tests.integration.workers.events import deliver, payload_of, said
from tests.services import declare_topology
from workers.deliver import DeadLetterPublisher
from workers.genesys import FailedReceipts, GenesysClient, GenesysSettings, RequestBudget
from workers.genesys.failed_receipts import MAX_ATTEMPTS

TEXT = payload_of("genesys/text")
OUTCOMES = "SELECT destination, outcome, attempts FROM failed_receipts"


@pytest.fixture
def make_receipts(engine, platform_url):
    settings = GenesysSettings(platform_url, platform_url, "client", CLIENT_SECRET)

    # By default, no budget is used, because after a 429 a budget makes every caller wait for several seconds.
    def make(budget=None, clock=None):
        return FailedReceipts(engine, clock or SystemClock(), {"content"}, GenesysClient(settings, budget))

    return make


@pytest.fixture
def receipts(make_receipts):
    return make_receipts()


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
def test_only_an_agents_message_to_a_named_destination_gets_a_receipt(
    give_up, receipts, query, payload, is_named
):
    give_up(receipts if is_named else None, payload)
    assert query("SELECT count(*) FROM dead_letters") == [(2,)]
    assert query(OUTCOMES) == []


def test_waiting_for_the_budget_does_not_count_as_an_attempt(give_up, engine, make_receipts, query):
    budget = RequestBudget(engine, "client", 300, SystemClock())
    receipts = make_receipts(budget)
    give_up(receipts, TEXT)
    budget.take()
    budget.pause(60.0)
    for _ in range(MAX_ATTEMPTS + 1):
        execute(engine, "UPDATE failed_receipts SET due_at = (SELECT min(created_at) FROM outbox)")
        assert receipts.send_failed_receipts() == 1
    assert query(OUTCOMES) == [("content", None, 0)]


def test_a_receipt_whose_process_ended_while_sending_it_has_an_unknown_outcome(  # noqa: PLR0917  # fixtures
    give_up, receipts, make_receipts, organisation, engine, query
):
    give_up(receipts, TEXT)
    execute(engine, "UPDATE failed_receipts SET begun_at = due_at")
    assert make_receipts(clock=MovedClock(3_600_000_000)).send_failed_receipts() == 0
    assert organisation.receipts == []
    assert query(OUTCOMES) == [("content", "unknown", 0)]


def execute(engine, sql):
    with engine.begin() as connection:
        connection.exec_driver_sql(sql)
