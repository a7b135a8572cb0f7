"""Receipts of failed messages, at the simulated platform."""

import pytest

from messaging.clock import SystemClock
from messaging.errors import ConfigurationError
from simulator.platform import Fault
from tests.fakes.clock import MovedClock
from tests.integration.workers.conftest import CLIENT_SECRET
from tests.integration.workers.events import deliver, payload_of, said
from tests.services import declare_topology
from workers.deliver import DeadLetterPublisher
from workers.genesys import FailedReceipts, GenesysClient, GenesysSettings, RequestBudget
from workers.genesys.failed_receipts import MAX_ATTEMPTS
from workers.settings import DeliverSettings

TEXT = payload_of("genesys/text")
OUTCOMES = "SELECT destination, outcome, attempts FROM failed_receipts"


@pytest.fixture
def make_receipts(engine, platform_url):
    settings = GenesysSettings(platform_url, platform_url, "client", CLIENT_SECRET)

    # Without a budget: after a 429 it would have every caller wait for seconds.
    def make(budget=None, clock=None):
        return FailedReceipts(engine, clock or SystemClock(), {"content"}, GenesysClient(settings, budget))

    return make


@pytest.fixture
def receipts(make_receipts):
    return make_receipts()


@pytest.fixture
def give_up(engine, stand, inbox, vhost):
    """Have the services refuse what a body says, and make dead letters of it."""
    declare_topology(vhost.amqp_url)

    def refuse(receipts, payload):
        inbox.fault_for = lambda sent: Fault(422) if sent.event_type.endswith("message") else None
        with stand.delivering(stand.content, stand.crm):
            stand.intake(deliver(payload))
            stand.settle()
            stand.wait_for(lambda: not stand.waiting() and not stand.waiting("content"))
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
def test_a_message_that_no_agent_wrote_or_of_another_destination_gets_no_receipt(
    give_up, receipts, query, payload, is_named
):
    give_up(receipts if is_named else None, payload)

    assert query("SELECT count(*) FROM dead_letters") == [(2,)]
    assert query(OUTCOMES) == []


def test_a_receipt_that_may_have_arrived_is_not_sent_again(give_up, receipts, organisation, query):
    give_up(receipts, TEXT)
    organisation.inject_fault(Fault(503, is_carried_out=True))

    assert [receipts.send_failed_receipts() for _ in range(2)] == [1, 0]

    assert len(organisation.receipts) == 1
    assert query(OUTCOMES) == [("content", "unknown", 1)]


def test_waiting_for_the_budget_counts_no_attempt(give_up, engine, make_receipts, query):
    budget = RequestBudget(engine, "client", 300, SystemClock())
    receipts = make_receipts(budget)
    give_up(receipts, TEXT)
    budget.take()
    budget.pause(60.0)
    for _ in range(MAX_ATTEMPTS + 1):
        make_due(engine)
        assert receipts.send_failed_receipts() == 1
    assert query(OUTCOMES) == [("content", None, 0)]


def test_a_revoked_token_is_renewed_before_the_next_attempt(give_up, receipts, organisation, engine, query):
    give_up(receipts, TEXT)
    receipts.send_failed_receipts()
    give_up(receipts, TEXT | {"id": "another"})
    organisation.revoke_tokens()

    receipts.send_failed_receipts()
    make_due(engine)
    receipts.send_failed_receipts()

    assert len(organisation.receipts) == 2


def test_a_receipt_that_an_ended_process_began_is_unknown(  # noqa: PLR0917  # fixtures
    give_up, receipts, make_receipts, organisation, engine, query
):
    give_up(receipts, TEXT)
    execute(engine, "UPDATE failed_receipts SET begun_at = due_at")

    assert make_receipts(clock=MovedClock(3_600_000_000)).send_failed_receipts() == 0

    assert organisation.receipts == []
    assert query(OUTCOMES) == [("content", "unknown", 0)]


def make_due(engine):
    execute(engine, "UPDATE failed_receipts SET due_at = (SELECT min(created_at) FROM outbox)")


def execute(engine, sql):
    with engine.begin() as connection:
        connection.exec_driver_sql(sql)


def test_a_destination_that_there_is_not_refuses_the_start(monkeypatch, tmp_path):
    destinations = tmp_path / "destinations.toml"
    destinations.write_text("none = true")
    for name, value in {
        "OM_AMQP_URL": "amqp://localhost",
        "OM_DATABASE_URL": "sqlite:////tmp/none",
        "OM_DESTINATIONS": str(destinations),
        "OM_FAILED_RECEIPTS": "content",
    }.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(ConfigurationError, match="OM_FAILED_RECEIPTS"):
        DeliverSettings.from_environment()
