"""On PostgreSQL and on SQLite, an operator resends deliveries that were given up on."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from messaging import topology
from messaging.clock import SystemClock
from messaging.errors import BrokerUnavailableError, ConfigurationError
from omctl.repair import dead_letter_windows
from omctl.repair.dead_letters import dead_letters
from omctl.repair.destinations import destinations as command
from simulator.platform import Fault
from tests.integration.workers.commands import run_omctl
from tests.integration.workers.conftest import ON_POSTGRESQL
from tests.integration.workers.consuming import depth
from tests.integration.workers.deliver.stand import lease_texts, words_of
from tests.integration.workers.events import deliver, said
from tests.services import declare_topology
from workers.db.engine import make_engine
from workers.deliver import dead_letters as dead_letters_module
from workers.deliver import subscriptions as subscriptions_module


@pytest.fixture
def omctl(migrated_url, destinations_file):
    settings = {"OM_DATABASE_URL": migrated_url, "OM_DESTINATIONS": destinations_file}

    def run(*options):
        reason = () if "--dry-run" in options else ("--reason", "it is mended")
        return run_omctl(command, "resend", *options, *reason, "--yes", **settings)

    return run


@pytest.fixture
def refused(stand):
    """Two conversations of three messages each; each destination refused the first two in each."""
    stand.inbox.fault_for = lambda told: None if words_of([told]) in ([], ["third"]) else Fault(422)
    with stand.delivering(stand.crm, stand.content):
        for name in ("c-1", "c-2"):
            words = enumerate(("first", "second", "third"))
            stand.intake(*[deliver(said(each, conversation=name, after_ms=n)) for n, each in words])
        stand.settle()
        stand.wait_for(lambda: not stand.waiting() and not stand.waiting("content"))
    stand.inbox.fault_for = lambda _told: None
    sent = [event for event in stand.inbox.requested if words_of([event]) != ["third"]]
    return {(event.destination, event.webhook_id) for event in sent}


def test_resent_events_keep_ids_and_order_and_the_resend_is_recorded(stand, omctl, refused, monkeypatch):
    monkeypatch.setattr(subscriptions_module, "BATCH_ROWS", 3)
    before = len(stand.inbox.accepted)
    planned = omctl("crm", "--dry-run")
    assert (planned["chosen"], planned["done"], planned["intervention"]) == (4, 0, None)
    assert stand.waiting() == 0
    done = omctl("crm")
    assert (done["chosen"], done["done"], stand.waiting()) == (4, 4, 4)
    stand.deliver_all(to=[stand.crm, stand.content])

    again = stand.inbox.accepted[before:]
    assert {(event.destination, event.webhook_id) for event in again} <= refused
    for name in ("c-1", "c-2"):
        assert words_of([event for event in again if event.conversation_id == name]) == ["first", "second"]
    assert stand.query("SELECT action, reason, chosen, done, outcome FROM interventions") == [
        ("resend-deliveries", "it is mended", 4, 4, "done")
    ]
    decided = "SELECT count(*) FROM dead_letters WHERE intervention_id = :id AND message_id LIKE 'crm:%'"
    assert stand.query(decided, id=done["intervention"]) == [(4,)]
    assert omctl("crm")["chosen"] == 0


def test_a_resend_can_select_a_conversation_a_time_or_every_configured_destination(omctl, refused):
    assert omctl("--dry-run")["chosen"] == 8
    assert omctl("crm", "--conversation", "c-2", "--dry-run")["chosen"] == 2
    assert omctl("--since", "1h", "--dry-run")["chosen"] == 8
    assert omctl("--since", "2999-01-01", "--dry-run")["chosen"] == 0
    with pytest.raises(ConfigurationError, match="it has crm, content"):
        omctl("cmr", "--dry-run")


def test_an_event_refused_again_becomes_a_dead_letter_with_the_new_reason(stand, omctl, refused, vhost):
    declare_topology(vhost.amqp_url)
    publisher = stand.publisher(vhost.amqp_url)
    assert publisher.publish_dead_letters() == 8
    stand.inbox.fault_for = lambda _told: Fault(409)
    omctl("crm")
    stand.deliver_all(to=[stand.crm, stand.content])
    reasons = "SELECT reason, count(*), count(intervention_id) FROM dead_letters GROUP BY 1 ORDER BY 1"
    assert stand.query(reasons) == [("destination content: 422", 4, 0), ("destination crm: 409", 4, 0)]
    assert publisher.publish_dead_letters() == 4


def test_the_dead_letters_of_resent_events_are_discarded_once_even_after_an_interruption(  # noqa: PLR0917
    stand, omctl, refused, vhost, channel, migrated_url, working, monkeypatch
):
    def discard(*selected):
        arguments = ("discard", *selected, "--reason", "resent", "--yes")
        settings = {"OM_DATABASE_URL": migrated_url, "OM_AMQP_URL": vhost.amqp_url}
        return run_omctl(dead_letters, *arguments, **settings)["done"]

    def interrupt(*_arguments):
        raise BrokerUnavailableError("the connection broke")

    with working():
        assert stand.publisher(vhost.amqp_url).publish_dead_letters() == 8
        stand.wait_for(lambda: depth(channel, topology.DEAD_LETTERS) == 8)
    omctl("crm")
    [[some]] = stand.query("SELECT min(message_id) FROM dead_letters WHERE message_id LIKE 'crm:%'")
    with monkeypatch.context() as interrupted:
        interrupted.setattr(dead_letter_windows, "_finish", interrupt)
        with pytest.raises(BrokerUnavailableError):
            discard(some)
    codes = ("--code", "delivery_refused")
    for selected, done, left in (((some,), 1, 7), (codes, 7, 0), (codes, 0, 0)):
        assert discard(*selected) == done
        stand.wait_for(lambda: depth(channel, topology.DEAD_LETTERS) == left)  # noqa: B023
    assert stand.query("SELECT count(*) FROM discarded_dead_letters") == [(8,)]
    assert stand.waiting() == 4


def test_an_event_resent_during_its_publication_is_published_again(stand, omctl, refused, vhost, monkeypatch):
    declare_topology(vhost.amqp_url)
    publish = dead_letters_module.publish_dead_letters

    def publish_and_resend(*arguments):
        yield from publish(*arguments)
        omctl("crm")

    monkeypatch.setattr(dead_letters_module, "publish_dead_letters", publish_and_resend)
    publisher = stand.publisher(vhost.amqp_url)
    assert publisher.publish_dead_letters() == 8
    monkeypatch.undo()
    stand.inbox.fault_for = lambda _told: Fault(409)
    stand.deliver_all(to=[stand.crm, stand.content])
    assert publisher.publish_dead_letters() == 4


def test_a_resend_leaves_deliveries_to_the_process_that_is_sending_them(stand, omctl, refused):
    later = [f"later {number}" for number in range(3)]
    stand.intake(*[deliver(said(text, conversation="c-1", after_ms=9 + n)) for n, text in enumerate(later)])
    stand.settle()

    def lease():
        with stand.engine.begin() as connection:
            return lease_texts(connection, SystemClock().now_us(), 60_000_000)

    assert lease() == later
    omctl("crm", "--conversation", "c-1")
    assert lease() == ["first", "second"]
    assert lease() == []


@ON_POSTGRESQL
def test_a_resend_leaves_deliveries_to_the_process_that_is_leasing_them(stand, omctl, refused, migrated_url):
    stand.intake(deliver(said("later", conversation="c-1", after_ms=9)))
    stand.settle()
    now_us = SystemClock().now_us() + 1_000_000
    # Use a second engine, because the test acts as two processes, for which one engine's pool is too small.
    engine = make_engine(migrated_url)
    with ThreadPoolExecutor() as pool, engine.connect() as one, engine.connect() as other:
        assert lease_texts(one, now_us, 60_000_000) == ["later"]
        omctl("crm", "--conversation", "c-1")
        waiting = pool.submit(lease_texts, other, now_us, 90_000_000)
        stand.wait_for(lambda: stand.query("SELECT 1 FROM pg_locks WHERE NOT granted"))
        one.commit()
        assert waiting.result(20) == ["first", "second"]
        other.commit()
    engine.dispose()
    due = "SELECT count(DISTINCT due_at) FROM deliveries WHERE outcome IS NULL AND destination = 'crm'"
    assert stand.query(due) == [(2,)]
