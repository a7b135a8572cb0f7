"""omctl erase removes a customer's data everywhere, including from the disk."""

import json
import re
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pika
import pytest
from click.testing import CliRunner
from sqlalchemy import LargeBinary, Text, create_engine, insert, make_url, select, text

from messaging import topology
from messaging.admin import lock_dead_letters
from messaging.admin.dead_letters import DeadLettersLockedError
from messaging.broker import addresses
from messaging.clock import SystemClock
from messaging.errors import OpenMessagingError
from omctl.repair import erase as erase_module
from omctl.repair.erase import erase
from tests.integration.workers.commands import run_omctl
from tests.integration.workers.conftest import ON_POSTGRESQL
from tests.integration.workers.consuming import depth
from tests.integration.workers.events import deliver, event, native, said
from tests.servers.rabbitmq import PrivateRabbitMQ
from tests.services import declare_topology
from tests.waiting import wait_until
from workers.db.engine import transact
from workers.db.erasure import erase_conversations
from workers.db.models import deliveries, discarded_dead_letters, metadata
from workers.deliver import parking
from workers.parsing import moment_of

SECURITY_PAGE = Path(__file__).parents[4] / "docs" / "security.md"
MARKER = "Marker-7Q4Z"
CUSTOMER = f"ext:customer:{MARKER}"
PARTICIPANT = {"id": CUSTOMER, "role": "customer", "address": {"name": MARKER}}


@pytest.fixture
def state(tmp_path):
    directory = tmp_path / "state"
    for name in ("oversized", "damaged", "journal"):
        (directory / name).mkdir(parents=True)
    (directory / "oversized" / "1.body").write_bytes(b'{"id": "%s"}' % CUSTOMER.encode())
    (directory / "oversized" / "1.json").write_text("{}")
    (directory / "damaged" / "1-00000001.segment").write_bytes(b'\0\1"%s"\2' % CUSTOMER.encode())
    (directory / "damaged" / "2-00000001.segment").write_bytes(b"another customer's event")
    return directory


@pytest.fixture
def omctl(channel, vhost, migrated_url, state):  # the channel declares the topology
    environment = {"OM_AMQP_URL": vhost.amqp_url, "OM_DATABASE_URL": migrated_url}
    return partial(run_omctl, erase, OM_STATE_DIRECTORY=str(state), **environment)


def discard(engine, *bodies):
    now = moment_of(SystemClock().now_us())
    row = {"message_id": "m", "intervention_id": "i", "discarded_at": now}
    with engine.begin() as connection:
        connection.execute(insert(discarded_dead_letters), [row | {"body": body} for body in bodies])


@pytest.fixture
def stored(intake, engine, channel):
    """Put the marker into every place that can contain a customer's data."""
    conversation, other = f"c-{MARKER.lower()}", "c-other"
    message = said(MARKER, conversation=conversation, participants=[PARTICIPANT], sequence=1)
    failed = native(7, conversation=conversation, kind="genesys/receipt-failed")
    failed["reasons"] = [{"code": "x", "message": MARKER}]
    batch = [
        event("new", conversation=conversation, participants=[PARTICIPANT]),
        message,
        message | {"message": {"text": f"{MARKER} again"}},
        failed,
        said("words of another customer", conversation=other),
    ]
    for payload in batch:
        intake(deliver(payload))
    discard(engine, json.dumps({"conversationId": conversation, "text": MARKER}).encode())
    for body in (json.dumps(message).encode(), b'{"broken "%s"' % conversation.encode(), b"{other"):
        channel.basic_publish("", topology.DEAD_LETTERS, body)
    return conversation


def places_with_marker(engine):
    """Return each column that contains the marker, except idempotency keys, which are kept on purpose."""
    found = set()
    with engine.connect() as connection:
        for table in metadata.sorted_tables:
            for column in table.columns:
                if isinstance(column.type, (Text, LargeBinary)) and column.name != "idempotency_key":
                    values = (value for value in connection.scalars(select(column)) if value is not None)
                    if any(
                        MARKER in (v.decode(errors="replace") if isinstance(v, bytes) else v) for v in values
                    ):
                        found.add(f"{table.name}.{column.name}")
    return found


EVERYWHERE = {
    "conversation_messages.text",
    "discarded_dead_letters.body",
    "event_conflicts.body",
    "event_payloads.body",
    "message_receipts.reasons",
}


@pytest.mark.parametrize("option", ["--customer", "--conversation"])
def test_an_erasure_removes_only_a_customers_data_from_every_table_and_queue_and_is_recorded(  # noqa: PLR0917  # fixtures
    omctl, stored, engine, channel, query, state, option
):
    assert places_with_marker(engine) == EVERYWHERE
    identifier = CUSTOMER if option == "--customer" else stored

    would = omctl(option, identifier, "--dry-run")
    assert places_with_marker(engine) == EVERYWHERE
    erased = omctl(option, identifier, "--reason", "request 1")

    assert erased["conversations"] == 1
    assert {name: count for name, count in erased["erased"].items() if count} == {
        name: count for name, count in would["erased"].items() if count
    }
    assert places_with_marker(engine) == set()
    assert depth(channel, topology.DEAD_LETTERS) == 1
    assert query("SELECT count(*) FROM event_payloads") == [(1,)]
    assert query("SELECT count(*) FROM conversation_messages WHERE text IS NOT NULL") == [(1,)]
    [(action, reason, selection)] = query("SELECT action, reason, selection FROM interventions")
    assert (action, reason) == ("erase", "request 1")
    assert MARKER not in selection
    if option == "--customer":
        assert [path.name for path in state.rglob("*") if path.is_file()] == ["2-00000001.segment"]


def test_an_erasure_may_take_longer_than_the_heartbeat_timeout(omctl, stored, engine, channel, monkeypatch):
    def slow(work):
        def call(*arguments, **options):
            time.sleep(4.0)
            return work(*arguments, **options)

        return call

    monkeypatch.setattr(addresses, "HEARTBEAT_SECONDS", 1)
    for name in ("search_conversations", "erase_conversations"):
        monkeypatch.setattr(erase_module, name, slow(getattr(erase_module, name)))
    omctl("--customer", CUSTOMER, "--reason", "request 1")
    assert places_with_marker(engine) == set()
    assert depth(channel, topology.DEAD_LETTERS) == 1


def test_a_delivery_that_becomes_a_dead_letter_during_an_erasure_is_erased_too(
    omctl, stored, channel, monkeypatch
):
    def fails_meanwhile(*arguments, **options):
        channel.basic_publish("", topology.DEAD_LETTERS, json.dumps({"conversationId": stored}).encode())
        return erase_conversations(*arguments, **options)

    monkeypatch.setattr(erase_module, "erase_conversations", fails_meanwhile)
    erased = omctl("--customer", CUSTOMER, "--reason", "request 1")["erased"]
    assert erased["dead-letter queue"] == 3
    assert depth(channel, topology.DEAD_LETTERS) == 1


def test_if_the_broker_is_lost_while_the_tables_are_erased_the_error_names_their_conversations(
    omctl, stored, engine, monkeypatch
):
    def lose_broker(*arguments, **options):
        monkeypatch.setattr(erase_module, "_erase_dead_letters", fail)
        return erase_conversations(*arguments, **options)

    def fail(*_):
        raise pika.exceptions.ConnectionClosedByBroker(320, "CONNECTION_FORCED")

    monkeypatch.setattr(erase_module, "erase_conversations", lose_broker)
    with pytest.raises(OpenMessagingError, match=f"--conversation {stored}$"):
        omctl("--customer", CUSTOMER, "--reason", "request 1")
    assert places_with_marker(engine) == set()


def test_an_erasure_that_fails_at_the_broker_can_be_repeated(omctl, stored, engine, vhost, channel):
    with (
        lock_dead_letters((vhost.amqp_url,), client_name="another"),
        pytest.raises(DeadLettersLockedError),
    ):
        omctl("--customer", CUSTOMER, "--reason", "request 1")
    assert places_with_marker(engine) == EVERYWHERE
    omctl("--customer", CUSTOMER, "--reason", "request 1")
    assert places_with_marker(engine) == set()
    assert depth(channel, topology.DEAD_LETTERS) == 1


@pytest.mark.parametrize("option", ["--customer", "--conversation"])
def test_an_erasure_leaves_dead_letters_that_contain_the_id_only_as_part_of_a_longer_id(
    omctl, stored, engine, channel, option
):
    discard(engine, b'{"id": "%s"}' % stored.encode(), b'{"id": "another"}')
    for identifier in (CUSTOMER[:-1], stored[:-1], "another-one"):
        for _ in range(2):
            erased = omctl(option, identifier, "--reason", "request 6")
            assert sum(erased["erased"].values()) == 0
    assert depth(channel, topology.DEAD_LETTERS) == 3


def test_an_erasure_finds_dead_letters_in_which_the_id_is_escaped_and_counts_each_once(
    omctl, stored, engine, channel
):
    identifiers = ("é/1", "é/2")
    bodies = [json.dumps({"conversationId": one}).encode() for one in identifiers]
    bodies[1] = bodies[1].replace(b"/", rb"\/").replace(b"u00e9", b"u00E9")
    discard(engine, *bodies, bodies[0] + bodies[1])
    channel.basic_publish("", topology.DEAD_LETTERS, bodies[1])
    options = [word for one in identifiers for word in ("--conversation", one)]
    would = omctl(*options, "--customer", identifiers[0], "--dry-run")
    erased = omctl(*options, "--customer", identifiers[0], "--reason", "request 7")
    assert would["erased"] == erased["erased"]
    assert erased["erased"]["discarded_dead_letters"] == 3
    assert erased["erased"]["dead-letter queue"] == 1


def test_an_erasure_finds_a_conversation_if_only_a_conflicting_body_names_the_customer(omctl, intake, engine):
    message = said("words", conversation="c-1", sequence=1)
    intake(deliver(message))
    intake(deliver(message | {"participants": [PARTICIPANT]}))
    assert places_with_marker(engine) == {"event_conflicts.body"}
    assert omctl("--customer", CUSTOMER, "--reason", "request 12")["conversations"] == 1
    assert places_with_marker(engine) == set()


def test_an_erasure_finds_a_uuid_in_a_body_that_is_not_valid_json(omctl, engine):
    conversation = "a1b2c3d4-e5f6-7890-abcd-ef1234567890"
    discard(engine, b"{'conversationId': '%s'}" % conversation.encode(), b"another")
    erased = omctl("--conversation", conversation, "--reason", "request 9")
    assert erased["erased"]["discarded_dead_letters"] == 1
    # The report lists every place, even if the erasure finds no data there.
    none = omctl("--customer", "unknown", "--reason", "request 10")
    assert none["erased"].keys() == erased["erased"].keys()


@pytest.mark.parametrize("option", ["--customer", "--conversation"])
def test_an_empty_id_is_refused(omctl, stored, engine, option):
    refusal = omctl("--customer", CUSTOMER, option, "", "--reason", "request 8", status=2)
    assert "Select what to erase" in refusal
    assert places_with_marker(engine) == EVERYWHERE


def test_an_erasure_abandons_unsent_deliveries(omctl, stored, engine, query):
    row = {"outbox_id": 1, "destination": "crm", "conversation_id": stored, "attempts": 0}
    with engine.begin() as connection:
        connection.execute(insert(deliveries).values(**row, due_at=datetime.now(UTC)))
    omctl("--conversation", stored, "--reason", "request 1")
    assert query("SELECT DISTINCT outcome, reason FROM deliveries") == [("abandoned", "erased")]


ENTRY = """
    INSERT INTO outbox (conversation_id, event_type, occurred_at, late, created_at)
    VALUES ('c-1', 'new', '2026-01-01', false, '2026-01-01')"""


@ON_POSTGRESQL
def test_no_delivery_stays_parked_that_a_deliver_worker_parks_during_an_erasure(engine, query, monkeypatch):
    monkeypatch.setattr(parking, "WALK_SHARE", 1)
    monkeypatch.setattr(parking, "MAX_WALK", 1)
    now_us = SystemClock().now_us()

    def execute(*statements):
        with engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))

    execute(
        "INSERT INTO destinations (name, registered_at) SELECT x, now() FROM unnest(ARRAY['a', 'b']) x",
        "INSERT INTO subscriptions (event_type, destination) SELECT 'new', name FROM destinations",
    )
    execute(ENTRY)
    waits = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    parked = "SELECT count(*) FROM deliveries WHERE outcome IS NULL AND due_at > '9000-01-01'"
    with ThreadPoolExecutor() as pool, engine.connect() as lessor:
        lessor.execute(text("SELECT 1 FROM deliveries WHERE destination = 'a' FOR UPDATE"))
        now, work = moment_of(now_us), erase_conversations
        erasure = pool.submit(transact, engine, work, ["c-1"], now=now, dry_run=False)
        wait_until(lambda: query(waits), 30.0)
        execute(ENTRY)
        with engine.begin() as connection:
            parking.find_first(connection, "b", now_us, 2)
        assert query(parked) == [(1,)]
        lessor.rollback()
        erasure.result()
    assert query(parked) == [(0,)]


def test_a_copy_of_an_erased_event_has_no_effect(omctl, intake, query):
    payload = said("words", conversation="c-1", participants=[PARTICIPANT])
    intake(deliver(payload))
    omctl("--customer", CUSTOMER, "--reason", "request 2")
    intake(deliver(payload))
    assert query("SELECT message_count FROM conversations") == [(1,)]
    assert query("SELECT count(*) FROM event_payloads") == [(0,)]
    assert query("SELECT text FROM conversation_messages") == [(None,)]


def test_an_erasure_reports_events_that_wait_in_the_journal(omctl, state):
    (state / "journal" / "1").mkdir()
    (state / "journal" / "1" / "00000001.segment").write_bytes(b'"%s"' % CUSTOMER.encode())
    assert any("journal" in note for note in omctl("--customer", CUSTOMER, "--dry-run")["notes"])


def test_an_erasure_fails_if_the_journal_cannot_be_searched(omctl, state, query):
    (state / "journal").rmdir()
    (state / "journal").touch()
    with pytest.raises(OpenMessagingError, match="journal cannot be read"):
        omctl("--customer", CUSTOMER, "--reason", "request 4")
    assert query("SELECT count(*) FROM interventions") == [(0,)]


def _files_of_compacted_sqlite(url):
    path = Path(make_url(url).database)
    with sqlite3.connect(path) as connection:
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return list(path.parent.glob(f"{path.name}*"))


def _files_of_compacted_postgresql(url):
    steps = re.findall(r' -c "((?:DELETE|VACUUM)[^"]*)"', SECURITY_PAGE.read_text())
    owner = create_engine(url, isolation_level="AUTOCOMMIT")
    with owner.connect() as connection:
        for step in steps:
            connection.execute(text(step))
        connection.execute(text("CHECKPOINT"))
        directory = connection.scalar(text("SHOW data_directory"))
        oid = connection.scalar(text("SELECT oid FROM pg_database WHERE datname = current_database()"))
    owner.dispose()
    return list((Path(directory) / "base" / str(oid)).iterdir())


def test_no_erased_data_is_left_on_disk_after_the_database_is_compacted(omctl, stored, engine, migrated_url):
    # After ANALYZE, PostgreSQL's statistics contain bodies.
    with engine.begin() as connection:
        connection.execute(text("ANALYZE"))
    omctl("--customer", CUSTOMER, "--reason", "request 3")
    engine.dispose()
    is_sqlite = engine.dialect.name == "sqlite"
    compact = _files_of_compacted_sqlite if is_sqlite else _files_of_compacted_postgresql

    def is_clean():
        files = compact(migrated_url)
        assert files
        return not any(CUSTOMER.encode() in path.read_bytes() for path in files)

    # While autovacuum analyzes a table, VACUUM FULL keeps the deleted rows that autovacuum can still see.
    wait_until(is_clean)


@pytest.fixture
def node(tmp_path, monkeypatch, migrated_sqlite_url):
    monkeypatch.setenv("OM_DATABASE_URL", migrated_sqlite_url)
    monkeypatch.setenv("OM_STATE_DIRECTORY", str(tmp_path / "none"))
    with PrivateRabbitMQ(tmp_path / "broker") as node:
        monkeypatch.setenv("OM_AMQP_URL", node.amqp_url)
        declare_topology(node.amqp_url)
        yield node


def test_no_erased_data_is_left_on_the_brokers_disk_after_the_steps_of_the_security_page(node):
    roll_over, add_entries = re.findall(r"rabbitmqctl eval '([^']*)\.'", SECURITY_PAGE.read_text())

    def is_left():
        while True:
            # RabbitMQ might replace a file while the test reads the directory.
            with suppress(FileNotFoundError):
                files = [path for path in node.directory.rglob("*") if path.is_file()]
                return any(CUSTOMER.encode() in path.read_bytes() for path in files)

    body = json.dumps(said(MARKER, conversation="c-1", participants=[PARTICIPANT])).encode()
    with pika.BlockingConnection(pika.URLParameters(node.amqp_url)) as connection:
        channel = connection.channel()
        for queue in (topology.EVENTS_QUEUE, topology.DEAD_LETTERS):
            channel.basic_publish("", queue, body)
        wait_until(lambda: channel.basic_get(topology.EVENTS_QUEUE, auto_ack=True)[0])
        erased = CliRunner().invoke(erase, ["--customer", CUSTOMER, "--reason", "request 5"])
        assert erased.exit_code == 0, erased.output
        assert is_left()

        node.evaluate(roll_over)
        node.evaluate(add_entries)
        assert is_left()
        node.evaluate(add_entries.replace(topology.DEAD_LETTERS, topology.EVENTS_QUEUE))
        wait_until(lambda: not is_left())
