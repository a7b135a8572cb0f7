"""omctl erase removes a customer's data from every place, also on disk."""

import json
import re
import sqlite3
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pika
import pytest
from click.testing import CliRunner
from sqlalchemy import LargeBinary, Text, create_engine, insert, select, text

from messaging import topology
from messaging.clock import SystemClock
from messaging.errors import OpenMessagingError
from omctl.repair.erase import erase
from tests.integration.workers.commands import run_omctl
from tests.integration.workers.consuming import depth
from tests.integration.workers.events import deliver, event, native, said
from tests.servers.rabbitmq import PrivateRabbitMQ
from tests.services import declare_topology
from tests.waiting import wait_until
from workers.db.models import deliveries, discarded_dead_letters, metadata
from workers.parsing import moment_of

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


@pytest.fixture
def stored(intake, engine, channel):
    """Put the marker into every place that can hold a customer's data."""
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
    with engine.begin() as connection:
        connection.execute(
            insert(discarded_dead_letters).values(
                message_id="m",
                intervention_id="i",
                discarded_at=moment_of(SystemClock().now_us()),
                body=json.dumps({"conversationId": conversation, "text": MARKER}).encode(),
            )
        )
    for body in (json.dumps(message).encode(), b'{"broken "%s"' % conversation.encode(), b"{other"):
        channel.basic_publish("", topology.DEAD_LETTERS, body)
    return conversation


def places_with_marker(engine):
    """Return each column that contains the marker, except ids that are kept on purpose."""
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
    "duplicate_events.body",
    "event_payloads.body",
    "message_receipts.reasons",
}


@pytest.mark.parametrize("option", ["--customer", "--conversation"])
def test_an_erasure_removes_a_customers_data_from_every_table_and_queue(
    omctl, stored, engine, channel, option
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


def test_other_customers_keep_their_data_and_the_erasure_is_recorded(omctl, stored, query, state):
    omctl("--customer", CUSTOMER, "--reason", "request 1")
    assert query("SELECT count(*) FROM event_payloads") == [(1,)]
    assert query("SELECT count(*) FROM conversation_messages WHERE text IS NOT NULL") == [(1,)]
    assert [path.name for path in state.rglob("*") if path.is_file()] == ["2-00000001.segment"]
    [(action, reason, selection)] = query("SELECT action, reason, selection FROM interventions")
    assert (action, reason) == ("erase", "request 1")
    assert MARKER not in selection


def test_an_erasure_abandons_unsent_deliveries(omctl, stored, engine, query):
    row = {"outbox_id": 1, "destination": "crm", "conversation_id": stored, "attempts": 0}
    with engine.begin() as connection:
        connection.execute(insert(deliveries).values(**row, due_at=datetime.now(UTC)))
    omctl("--conversation", stored, "--reason", "request 1")
    assert query("SELECT DISTINCT outcome, reason FROM deliveries") == [("abandoned", "erased")]


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


def test_no_erased_data_is_left_on_disk_after_the_database_is_compacted(omctl, stored, engine, migrated_url):
    omctl("--customer", CUSTOMER, "--reason", "request 3")
    engine.dispose()
    if engine.dialect.name == "sqlite":
        path = Path(engine.url.database)
        with sqlite3.connect(path) as connection:
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        files = list(path.parent.glob(f"{path.name}*"))
    else:
        owner = create_engine(migrated_url, isolation_level="AUTOCOMMIT")
        with owner.connect() as connection:
            connection.execute(text("VACUUM FULL"))
            connection.execute(text("CHECKPOINT"))
            directory = connection.scalar(text("SHOW data_directory"))
            oid = connection.scalar(text("SELECT oid FROM pg_database WHERE datname = current_database()"))
        owner.dispose()
        files = list((Path(directory) / "base" / str(oid)).iterdir())
    assert files
    assert [path.name for path in files if CUSTOMER.encode() in path.read_bytes()] == []


SECURITY_PAGE = Path(__file__).parents[4] / "docs" / "security.md"


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
