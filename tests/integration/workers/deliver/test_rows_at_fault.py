"""A row that cannot be read or written affects only its own event, on PostgreSQL and on SQLite."""

import pytest
from sqlalchemy import text

from messaging.admin import broker_session, peek, publish_dead_letters
from messaging.topology import DEAD_LETTER_RECORDS
from simulator.platform import Fault
from tests.integration.workers.conftest import ON_POSTGRESQL
from tests.integration.workers.deliver.stand import new_conversations, words_of
from tests.integration.workers.events import deliver, said
from tests.services import declare_topology
from workers.deliver import dead_letters as dead_letters_module

MANY = 20
ODD = {f"c-{number}" for number in range(1, MANY, 2)}
# For PostgreSQL, a time that psycopg refuses to load; for SQLite, a text that is not a time.
UNREADABLE_TIME = {"postgresql": "'55840-01-01'", "sqlite": "'no time'"}
SET_RECEIVED = "UPDATE processed_events SET received_at = {} WHERE conversation_id = 'c-7'"
SET_CREATED = "UPDATE outbox SET created_at = {} WHERE conversation_id = 'c-6'"
UNPUBLISHED = "SELECT conversation_id FROM deliveries WHERE outcome = 'dead' AND dead_lettered_at IS NULL"
UNRECORDABLE = {
    "postgresql": "ALTER TABLE dead_letters ADD CONSTRAINT not_7 CHECK (conversation_id <> 'c-7')",
    "sqlite": """
        CREATE TRIGGER not_7 BEFORE INSERT ON dead_letters WHEN NEW.conversation_id = 'c-7'
        BEGIN SELECT RAISE(ABORT, 'not 7'); END""",
}


REFUSE = (
    """
    CREATE FUNCTION refuse(body bytea) RETURNS bytea LANGUAGE plpgsql AS
        $$ BEGIN RAISE insufficient_privilege; END $$""",
    "ALTER TABLE event_payloads RENAME TO kept_payloads",
    "CREATE VIEW event_payloads AS SELECT event_id, refuse(body) AS body FROM kept_payloads",
)
PERMIT = ("DROP VIEW event_payloads", "ALTER TABLE kept_payloads RENAME TO event_payloads")


@pytest.fixture
def stand(stand):
    """A test rig with many waiting events; the destination refuses every other one."""
    stand.inbox.fault_for = lambda told: Fault(422) if told.conversation_id in ODD else None
    stand.register(stand.crm)
    new_conversations(stand, MANY)
    return stand


def dead_letters(stand):
    return {row[0] for row in stand.query("SELECT conversation_id FROM dead_letters")}


def test_a_dead_letter_whose_event_is_unreadable_is_published_once_it_is_readable(stand, vhost):
    stand.execute(SET_RECEIVED.format(UNREADABLE_TIME[stand.engine.dialect.name]))
    stand.deliver_all()
    assert stand.inbox.counts()["delivered"] == MANY // 2
    assert dead_letters(stand) == ODD

    declare_topology(vhost.amqp_url)
    publisher = stand.publisher(vhost.amqp_url)
    assert publisher.publish_dead_letters() == len(ODD) - 1
    assert stand.query(UNPUBLISHED) == [("c-7",)]
    assert publisher.publish_dead_letters() == 0

    stand.execute(SET_RECEIVED.format("occurred_at"))
    stand.execute("UPDATE deliveries SET due_at = finished_at WHERE outcome = 'dead'")
    assert publisher.publish_dead_letters() == 1
    with broker_session((vhost.amqp_url,), client_name="test") as connection:
        assert len(list(peek(connection, DEAD_LETTER_RECORDS))) == len(ODD)


def test_a_dead_letter_that_is_too_large_for_the_broker_is_set_aside(stand, vhost):
    stand.deliver_all()
    of_7 = "SELECT event_id FROM outbox WHERE conversation_id = 'c-7'"
    grow = f"UPDATE event_payloads SET body = :body WHERE event_id = ({of_7})"  # noqa: S608
    with stand.engine.begin() as connection:
        # RabbitMQ's default max_message_size is 16 MiB.
        connection.execute(text(grow), {"body": bytes(17 << 20)})
    declare_topology(vhost.amqp_url)
    stand.publisher(vhost.amqp_url).publish_dead_letters()
    assert stand.query(UNPUBLISHED) == [("c-7",)]


def test_a_confirmed_dead_letter_is_published_once_despite_a_failure(stand, vhost, monkeypatch):
    stand.deliver_all()
    declare_topology(vhost.amqp_url)

    def publish_until_a_bug(urls, unpublished):
        for number, confirmed in enumerate(publish_dead_letters(urls, unpublished)):
            yield confirmed
            if number == 3:
                monkeypatch.undo()
                raise ValueError("a bug")

    monkeypatch.setattr(dead_letters_module, "publish_dead_letters", publish_until_a_bug)
    stand.publisher(vhost.amqp_url).publish_dead_letters()
    with broker_session((vhost.amqp_url,), client_name="test") as connection:
        assert len(list(peek(connection, DEAD_LETTER_RECORDS))) == len(ODD)


def test_a_delivery_whose_result_cannot_be_recorded_is_set_aside(stand):
    stand.execute(UNRECORDABLE[stand.engine.dialect.name])
    set_aside = "SELECT conversation_id FROM deliveries WHERE reason = 'its result could not be recorded'"
    with stand.delivering(stand.crm):
        stand.wait_for(lambda: stand.waiting() == 1 and stand.query(set_aside))
    assert stand.query(set_aside) == [("c-7",)]
    assert dead_letters(stand) == ODD - {"c-7"}
    assert stand.inbox.counts() == {"delivered": MANY // 2, "repeated": 0, "disordered": 0, "forged": 0}


def test_an_unreadable_delivery_becomes_a_dead_letter_and_the_next_event_is_sent(stand):
    """Guarantee 7.10."""
    stand.execute(SET_CREATED.format(UNREADABLE_TIME[stand.engine.dialect.name]))
    stand.intake(deliver(said("next", conversation="c-6", after_ms=5)))
    stand.settle()
    stand.deliver_all()
    assert dead_letters(stand) == ODD | {"c-6"}
    [(code, reason)] = stand.query("SELECT code, reason FROM dead_letters WHERE conversation_id = 'c-6'")
    assert (code, reason.partition(":")[0]) == ("delivery_given_up", "destination crm")
    assert "its row cannot be read" in reason
    assert stand.inbox.counts() == {"delivered": MANY // 2, "repeated": 0, "disordered": 0, "forged": 0}
    assert words_of(stand.inbox.accepted_by("crm")) == ["next"]


@ON_POSTGRESQL
def test_deliveries_wait_while_the_database_denies_reading_any_of_them(stand):
    for sql in REFUSE:
        stand.execute(sql)
    set_aside = "SELECT count(*) FROM deliveries WHERE due_at > now() + interval '50 minutes'"
    with stand.delivering(stand.crm):
        stand.wait_for(lambda: stand.query(set_aside) == [(MANY,)])
    assert dead_letters(stand) == set()

    for sql in PERMIT:
        stand.execute(sql)
    stand.execute("UPDATE deliveries SET due_at = now()")
    stand.deliver_all()
    assert dead_letters(stand) == ODD
    assert stand.inbox.counts() == {"delivered": MANY // 2, "repeated": 0, "disordered": 0, "forged": 0}
