"""omctl find finds an event by any of its ids, and shows where it stopped and which command to run next."""

import hashlib
import json
import re
import time
from datetime import UTC, datetime
from functools import partial

import pytest
from click.testing import CliRunner
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy import text

from messaging.admin import event_publisher
from messaging.clock import SystemClock
from messaging.envelope import Envelope, encode_properties
from omctl.look.find import find as command
from simulator.platform import Fault
from tests.integration.workers.commands import run_omctl
from tests.integration.workers.conftest import ON_POSTGRESQL
from tests.integration.workers.events import deliver, native, routed, said
from tests.rows import make_row
from tests.services import declare_topology
from tests.waiting import wait_until
from webhook_api.journal import Entry, encode_header
from webhook_api.relay import Oversized
from workers.db import timeline_search
from workers.db.engine import make_engine, transact
from workers.db.models import failed_receipts, interventions, reconciliation_gaps, suspects
from workers.settle.settler import set_aside


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


@pytest.fixture
def find(state):
    """Return a function that runs `omctl find` with this host's journal and the given database, if any."""

    def run(*arguments, url=""):
        environment = {"OM_DATABASE_URL": url, "OM_STATE_DIRECTORY": str(state)}
        return CliRunner().invoke(command, arguments, env=environment, catch_exceptions=False)

    return run


@pytest.fixture
def omctl(state, migrated_url):
    """Return a function that runs `omctl find` and returns the events that the command found."""
    settings = {"OM_DATABASE_URL": migrated_url, "OM_STATE_DIRECTORY": str(state)}
    return lambda *arguments, **options: run_omctl(command, *arguments, **options, **settings)["events"]


def steps(found):
    return [step["step"] for step in found["steps"]]


PROCESSED = ("received", "processed")
SECRET_WORDS = "words that no screen may show"
STOPPED = "c-stopped"


def test_a_delivered_event_is_found_by_each_of_its_ids_and_reported_as_complete(stand, omctl, tmp_path):
    delivery = deliver(native(1, text=SECRET_WORDS), request_id="request-of-nginx")
    stand.deliver_all(delivery)
    digest = hashlib.sha256(delivery.envelope.body).hexdigest()

    [found] = omctl(digest, "--bundle", str(tmp_path / "bundle"))

    assert (found["stopped"], found["body_sha256"]) == (None, digest)
    assert found["message_id"] == delivery.envelope.message_id
    assert steps(found) == [*PROCESSED, "settled, put in the outbox", "delivery to crm: delivered"]
    kinds = ("idempotency_key", "conversation_id", "event_id", "message_id")
    names = (*(str(found[kind]) for kind in kinds), "request-of-nginx", "m-1")
    assert [omctl(name) for name in names] == [[found]] * len(names)
    bundle = (tmp_path / "bundle").read_text()
    assert json.loads(bundle)["events"] == [found]
    assert SECRET_WORDS not in bundle


def _window(stand, make=said, what="a"):
    stand.intake(deliver(make(what, conversation=STOPPED)))


def _routing(stand):
    _window(stand, routed, "QUEUED")


def _undecided(stand):
    _routing(stand)
    stand.execute("UPDATE routing_updates SET decision = 'undecided', decided_at = waits_since")


def _undelivered(stand):
    stand.register(stand.crm)
    _window(stand)
    stand.settle()


def _paused(stand):
    _undelivered(stand)
    stand.execute("UPDATE destinations SET paused_at = registered_at, paused_because = 'operator'")


def _refused(stand):
    stand.inbox.fault_for = lambda _event: Fault(422)
    _undelivered(stand)
    stand.deliver_all()


def _receipt_refused(stand):
    stand.deliver_all(deliver(said("a", conversation=STOPPED)))
    _owe_receipt(stand, outcome="refused")


def _owe_receipt(stand, **values):
    [(event_id,)] = stand.query("SELECT id FROM processed_events")
    _insert(stand, failed_receipts, event_id=event_id, **values)


def _gap(stand):
    _insert(stand, reconciliation_gaps, platform_message_id=STOPPED, idempotency_key="k-missing")


def _suspect(stand):
    _insert(stand, suspects, message_id=STOPPED)


def _insert(stand, table, **values):
    with stand.engine.begin() as connection:
        connection.execute(table.insert().values(make_row(table, **values)))


def _dead_letter(stand):
    stand.intake(deliver({"eventType": "news", "conversationId": "c-dead"}, message_id=STOPPED))


def _set_aside(stand):
    _window(stand)
    set_aside(stand.engine, SystemClock(), STOPPED, ValueError())


def _replayed(stand):
    _dead_letter(stand)
    _decide(stand, "replay-dead-letters")


def _decide(stand, action):
    decision = {"intervention_id": "i-1", "operator": "jo@host", "started_at": datetime.now(UTC)}
    _insert(stand, interventions, action=action, reason="a test", **decision)
    stand.execute("UPDATE dead_letters SET intervention_id = 'i-1', decided_at = recorded_at")


@pytest.mark.parametrize(
    ("stop", "place", "advice"),
    [
        (_window, "in its conversation's window", "om-settle"),
        (_set_aside, "cannot be settled: unreadable_row", "OpenMessagingConversationsUnsettled"),
        (_replayed, "in the events queue since its replay", "omctl check"),
        (_routing, "waiting for the platform", "om-settle"),
        (_undecided, "the platform never confirmed", "OpenMessagingUpdatesUndecided"),
        (_undelivered, "waiting for destination crm", "omctl destinations test crm"),
        (_paused, "waiting for paused destination crm", "omctl destinations resume crm"),
        (_refused, "destination crm did not accept it", "omctl destinations resend crm"),
        (_refused, "in the dead-letter queue, refused by destination crm", "omctl destinations resend crm"),
        (_dead_letter, "in the dead-letter queue, refused by intake", "omctl dead-letters replay c-stopped"),
        (_receipt_refused, "its Failed receipt was not confirmed: refused", "Inform the agent"),
        (_gap, "in the events queue, published by reconciliation", "omctl check"),
        (_suspect, "in the events queue; it may end the worker", "om-worker@"),
    ],
)
def test_an_unfinished_event_is_reported_with_its_place_and_the_next_command(
    stand, omctl, stop, place, advice
):
    stop(stand)
    found = omctl(STOPPED)
    assert not re.search(r"\d{4}-\d\d-\d\d \d\d:", json.dumps(found)), "a time is not RFC 3339"
    # The command also finds the dead letter of a delivery that was given up on.
    assert (True, True) in [(place in event["stopped"], advice in event["advice"]) for event in found]


def test_a_gap_is_closed_and_a_suspect_is_no_longer_shown_once_the_event_is_processed(stand, omctl):
    stand.intake(deliver(said("a", conversation="c-1"), message_id="m-done"))
    [(key,)] = stand.query("SELECT idempotency_key FROM processed_events")
    _insert(stand, reconciliation_gaps, platform_message_id="m-1", idempotency_key=key, message_id="m-copy")
    _insert(stand, suspects, message_id="m-done")
    assert [found["event_id"] is None for found in omctl("m-done") + omctl(key)] == [False, False]
    assert omctl("m-copy", status=1) == []


def test_a_conflict_and_a_copy_are_shown_as_steps_of_the_first_event(stand, omctl):
    first = said("a", conversation="c-1", sequence=7)
    stand.intake(deliver(first))
    stand.intake(deliver(first))
    stand.intake(deliver(first | {"novelty": 1}, message_id="conflicting"))
    [found] = omctl("conflicting")
    assert {"received again", "conflict"} <= set(steps(found))


def test_the_operator_of_a_decision_is_shown_but_not_put_into_the_bundle(stand, omctl, tmp_path):
    stand.intake(deliver(b"{", message_id="dead-2"))
    _decide(stand, "discard-dead-letters")
    [found] = omctl("dead-2", "--bundle", str(tmp_path / "bundle"))
    assert (found["stopped"], steps(found)[-1]) == (None, "discard dead letters")
    assert found["steps"][-1]["operator"] == "jo@host: a test"
    assert "i-1" in (tmp_path / "bundle").read_text()
    assert "jo@host" not in (tmp_path / "bundle").read_text()


def test_a_discarded_dead_letter_of_a_destination_is_complete_unless_a_failed_receipt_waits(stand, omctl):
    _refused(stand)
    _decide(stand, "discard-dead-letters")
    found = omctl(STOPPED)
    assert {event["stopped"] for event in found} == {None}
    assert "delivery to crm: dead" in [step for event in found for step in steps(event)]
    _owe_receipt(stand, outcome=None, finished_at=None)
    assert "its Failed receipt waits to be sent" in {event["stopped"] for event in omctl(STOPPED)}


def test_a_replayed_dead_letter_is_complete_once_its_event_is_processed(stand, omctl):
    _replayed(stand)
    stand.intake(deliver(said("a", conversation="c-1"), message_id=STOPPED))
    assert [found["stopped"] for found in omctl(STOPPED) if found["event_id"] is None] == [None]


def keep_in_journal(state, body, message_id):
    directory = state / "journal" / "7-a"
    directory.mkdir(parents=True)
    (directory / "lock").touch()
    (directory / "00000001.segment").write_bytes(make_segment(body, message_id, "r-journal"))


def make_segment(body, *ids):
    properties = properties_of(*ids)
    return encode_header(properties, body) + properties + body


def properties_of(message_id, request_id):
    return encode_properties(message_id, 1_700_000_000_000_000, request_id, "webhook")


def test_an_event_in_this_hosts_journal_is_found_by_message_request_conversation_and_digest(omctl, state):
    body = json.dumps(said(SECRET_WORDS, conversation="c-journal") | {"id": "m-platform"}).encode()
    keep_in_journal(state, body, "m-journal")
    digest = hashlib.sha256(body).hexdigest()
    for identifier in ("m-journal", "r-journal", "c-journal", "m-platform", digest):
        [found] = omctl(identifier)
        assert found["stopped"].startswith("in this host's journal")
    assert SECRET_WORDS not in json.dumps(found)


def test_an_event_in_a_file_that_was_set_aside_is_found_with_the_file_and_the_next_step(omctl, state):
    body = json.dumps(said(SECRET_WORDS, conversation="c-aside")).encode()
    damaged = state / "damaged" / "7-a-00000001.segment"
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(b"damage" + make_segment(body, "m-damaged", "r-damaged"))
    assert Oversized(state / "oversized").keep(Entry(properties_of("m-large", "r-large"), body), 10)

    for identifier in ("m-large", "r-large"):
        [found] = omctl(identifier)
        assert re.match(rf"in {state}/oversized/\w+\.body, too large for the broker", found["stopped"])
        assert "OpenMessagingSetAside" in found["advice"]
    [found] = omctl("r-damaged")
    assert found["stopped"] == f"published from the damaged file {damaged}"
    assert "omctl check" in found["advice"]
    assert {found["message_id"] for found in omctl("c-aside")} == {"m-large", "m-damaged"}
    assert SECRET_WORDS not in json.dumps(omctl(hashlib.sha256(body).hexdigest()))


def test_no_value_of_an_event_can_look_like_a_line_of_the_report(stand, find, migrated_url):
    identifier = "c\n  → Complete.\x1b[2J"
    stand.intake(deliver(said("a", conversation=identifier), message_id="m-1"))
    shown = find("m-1", url=migrated_url).stdout
    assert r"conversation c\n  → Complete.\x1b[2J" in shown
    assert "  → Complete." not in shown.splitlines()
    assert shown.endswith("is om-settle running?\n\n")


@pytest.mark.parametrize("arguments", [["m-journal"], ["--customer", "ext:customer:1"]])
@pytest.mark.parametrize("url", ["", "postgresql+psycopg://u:p@127.0.0.1:9/om"])
def test_the_journal_is_searched_even_without_a_database(find, state, url, arguments):
    keep_in_journal(state, b'{"id": "ext:customer:1"}', "m-journal")
    result = find(*arguments, url=url)
    assert "in this host's journal for" in result.stdout
    assert "The database was not searched: " in result.stderr
    assert result.exit_code == 1


def test_an_event_that_is_processed_is_not_shown_as_waiting_in_the_journal(stand, omctl, state):
    delivery = deliver(said("a", conversation="c-1"), message_id="m-both")
    stand.intake(delivery)
    keep_in_journal(state, delivery.envelope.body, "m-both")
    assert [found["event_id"] is None for found in omctl("m-both")] == [False]


def test_a_search_of_the_journal_that_takes_too_long_is_reported(find, state, monkeypatch):
    keep_in_journal(state, b"{}", "m-journal")
    monkeypatch.setattr("omctl.look.find.JOURNAL_SECONDS", -1.0)
    assert "takes longer than" in find("m").stderr


def test_a_search_on_sqlite_does_not_wait_for_the_write_lock(find, migrated_sqlite_url):
    writer = make_engine(migrated_sqlite_url)
    with writer.begin():
        begun = time.monotonic()
        find("m", url=migrated_sqlite_url)
        assert time.monotonic() - begun < 5.0
    writer.dispose()


def test_a_customers_events_are_found_in_bodies_and_in_the_journal(stand, omctl, state, tmp_path):
    body = partial(said, participants=[{"id": "ext:customer:1", "role": "customer"}])
    stand.intake(deliver(body("a", conversation="c-1")), deliver(said("b", conversation="c-2")))
    keep_in_journal(state, json.dumps(body("c", conversation="c-3")).encode(), "m-3")
    found = omctl("--customer", "ext:customer:1", "--bundle", str(tmp_path / "bundle"))
    places = {event["conversation_id"]: event["stopped"].partition(" for")[0] for event in found}
    assert places.keys() == {"c-1", "c-3"}
    assert places["c-3"] == "in this host's journal"
    assert "ext:customer:1" not in (tmp_path / "bundle").read_text()
    assert omctl("--customer", "ext:customer:2", status=1) == []


def test_an_unknown_id_is_reported_with_hints_about_where_it_may_be(  # noqa: PLR0917  # fixtures
    find, migrated_url, omctl, vhost, rabbitmq, monkeypatch
):
    assert omctl("nothing", status=1) == []
    hint = find("nothing", url=migrated_url).stderr
    assert "another edge host's journal" in hint
    assert "The depth of the events queue, which may hold it, is unknown." in hint
    declare_topology(vhost.amqp_url)
    monkeypatch.setenv("OM_AMQP_URL", vhost.amqp_url)
    monkeypatch.setenv("OM_MANAGEMENT_URL", rabbitmq.management_url)
    assert "0 events wait in the events queue." in find("nothing", url=migrated_url).stderr
    with event_publisher((vhost.amqp_url,), client_name="test") as publisher:
        publisher.publish(Envelope("m-1", 1_700_000_000_000_000, "m-1", "webhook", b"{}"))
    wait_until(lambda: "1 events wait" in find("nothing", url=migrated_url).stderr)
    assert "; yours may be one." in find("nothing", url=migrated_url).stderr


@ON_POSTGRESQL
def test_every_query_uses_an_index(engine, intake):
    for number in range(20):
        intake(deliver(said("a", conversation=f"c-{number}")))
    statements = []

    def record(_connection, _cursor, statement, parameters, _context, _many):
        statements.append((statement, parameters))

    def explain(connection):
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        sqlalchemy_event.listen(engine, "before_cursor_execute", record)
        for name in (hashlib.sha256(b"x").hexdigest(), "c-1"):
            timeline_search.find_timelines(connection, name)
        sqlalchemy_event.remove(engine, "before_cursor_execute", record)
        explained = [
            connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {sql}", values).scalar_one()
            for sql, values in statements
        ]
        return [document["Plan"] for [document] in explained]

    plans = transact(engine, explain)
    assert len(plans) > 10
    scans = [scan for plan in plans for scan in _scans_of_all_rows(plan)]
    assert set(scans) <= {"destinations", "reconciliation_gaps"}


def _scans_of_all_rows(node):
    """Yield the table of each plan node that reads a whole table, even if it does so in an index's order."""
    if node["Node Type"] in {"Seq Scan", "Index Scan", "Index Only Scan"} and "Index Cond" not in node:
        yield node["Relation Name"]
    for child in node.get("Plans", ()):
        yield from _scans_of_all_rows(child)
