"""Operators list, replay and discard dead letters in a real queue with records in a real database."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import click
import pika
import pytest
from click.testing import CliRunner

from messaging import topology
from messaging.admin import EventPublisher, lock_dead_letters
from messaging.broker import addresses
from messaging.envelope import decode_properties, encode_properties
from messaging.errors import BrokerUnavailableError
from omctl.repair import dead_letter_windows as dead_letters_module
from omctl.repair.dead_letters import dead_letters as command
from tests.integration.workers.commands import run_omctl
from tests.integration.workers.conftest import ON_POSTGRESQL
from tests.integration.workers.consuming import depth
from tests.integration.workers.events import deliver, said
from tests.waiting import wait_until
from workers.db.models import dead_letters

SOURCES = Path(__file__).parents[4]
DEAD_LETTERS = 10_000 if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else 2_000


@pytest.fixture
def invoke(vhost, migrated_url):
    """Return a function that runs `omctl dead-letters`."""
    environment = {"OM_AMQP_URL": vhost.amqp_url, "OM_DATABASE_URL": migrated_url}
    return lambda *arguments: CliRunner().invoke(command, arguments, env=environment)


@pytest.fixture
def omctl(vhost, migrated_url):
    """Return a function that runs `omctl dead-letters` and returns its report."""
    return partial(run_omctl, command, OM_AMQP_URL=vhost.amqp_url, OM_DATABASE_URL=migrated_url)


def body(number=0, **fields):
    return json.dumps(
        said(f"words {number}", conversation=f"c-{number % 50}", after_ms=number, **fields)
    ).encode()


def publish(
    channel, message_id, content, *, routing_key=topology.EVENT_ROUTING_KEY, exchange=topology.EXCHANGE
):
    properties = decode_properties(
        encode_properties(message_id, 1_700_000_000_000_000, message_id, "webhook")
    )
    channel.basic_publish(exchange, routing_key, content, properties)


def bury(channel, message_id, content):
    """Publish a message directly to the queue of dead letters, without a record in the database."""
    publish(channel, message_id, content, exchange="", routing_key=topology.DEAD_LETTERS)


def buried(channel):
    return depth(channel, topology.DEAD_LETTERS)


def test_control_characters_in_a_dead_letters_record_do_not_reach_the_terminal(invoke, omctl, intake, engine):
    intake(deliver({"eventType": "news", "conversationId": "c"}, message_id="dead-1"))
    with engine.begin() as connection:
        connection.execute(dead_letters.update().values(reason="\x1b[2J\x9b\u202e", code="\x1b[2J"))
    for arguments in (("list",), ("show", "dead-1")):
        result = invoke(*arguments)
        assert result.exit_code == 0, result.output
        assert "news" in result.output
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", result.output)


def failing(handlers, is_broken):
    """Replace the message handler with one that fails while *is_broken* is not empty."""
    kind = "openmessaging:conversation:message"
    [handler] = handlers[kind]

    def fails(connection, claimed, now_us):
        if is_broken:
            raise LookupError
        return handler(connection, claimed, now_us)

    return handlers | {kind: (fails,)}


def test_listing_and_selecting_dead_letters_reads_the_records_and_consumes_no_message(
    vhost, working, channel, omctl
):
    with working():
        publish(channel, "broken", b"{")
        publish(channel, "unknown", json.dumps({"eventType": "a:news", "conversationId": "c-9"}).encode())
        wait_until(lambda: buried(channel) == 2)

    # List the dead letters while another omctl holds the lock on them: listing does not need the lock.
    with lock_dead_letters((vhost.amqp_url,), client_name="test"):
        listed = omctl("list")
        assert omctl("show", "broken")["code"] == "not_json"
    rows = [
        (row["message_id"], row["code"], row["event_type"], row["conversation_id"])
        for row in listed["dead_letters"]
    ]
    assert rows == [
        ("broken", "not_json", None, None),
        ("unknown", "unknown_event_type", "a:news", "c-9"),
    ]
    assert [omctl("list", "--limit", limit)["total"] for limit in ("0", "1")] == [2, 2]
    assert buried(channel) == 2

    def choose(*arguments):
        return [row["message_id"] for row in omctl("list", *arguments)["dead_letters"]]

    assert choose("--code", "not_json") == ["broken"]
    assert choose("--type", "news") == ["unknown"]
    assert choose("--conversation", "c-9", "--since", "1h") == ["unknown"]
    assert choose("--until", "1h") == []


def test_a_dead_letter_is_recorded_by_a_scan_and_shown_with_its_body_only_on_request(channel, omctl):
    bury(channel, "m-1", body(1))
    assert omctl("show", "m-1", "--body")["body"] == body(1).decode()
    assert omctl("list")["dead_letters"] == []
    listed = omctl("list", "--scan")["dead_letters"]
    assert [(row["message_id"], row["code"]) for row in listed] == [("m-1", "unknown")]
    assert "words" not in json.dumps(omctl("show", "m-1"))
    wait_until(lambda: buried(channel) == 1)


def test_a_dead_letter_takes_effect_when_it_is_replayed_after_its_handler_is_fixed(
    working, channel, omctl, query, handlers
):
    is_broken = [True]
    with working(handlers=failing(handlers, is_broken), attempts=1):
        for number in range(5):
            publish(channel, f"m-{number}", body(number))
        wait_until(lambda: buried(channel) == 5)
        told = omctl("replay", "--reason", "mended", "--yes", "m-3")
        wait_until(lambda: buried(channel) == 5)
        wait_until(lambda: query("SELECT source FROM dead_letters WHERE message_id = 'm-3'") == [("replay",)])
        is_broken.clear()

        assert omctl("replay", "--dry-run")["chosen"] == 5
        assert (told["chosen"], told["done"]) == (1, 1)
        assert omctl("replay", "--reason", "mended", "--yes", "--code", "handler_failed")["done"] == 5
        wait_until(lambda: query("SELECT count(*) FROM processed_events") == [(5,)])

    assert buried(channel) == 0
    assert {each for (each,) in query("SELECT source FROM processed_events")} == {"replay"}
    actions = query("SELECT action, reason, chosen, done, outcome FROM interventions ORDER BY chosen")
    assert actions == [("replay-dead-letters", "mended", count, count, "done") for count in (1, 5)]
    assert all("@" in who for (who,) in query("SELECT operator FROM interventions"))


def test_a_dead_letter_that_fails_again_gets_its_new_reason_and_is_not_replayed_twice(
    working, channel, omctl, query
):
    with working():
        publish(channel, "m-1", b"{")
        wait_until(lambda: buried(channel) == 1)
        assert omctl("replay", "--reason", "try", "--yes", "--rate", "0")["done"] == 1
        wait_until(lambda: buried(channel) == 1)
        time.sleep(0.5)
    assert query("SELECT source, intervention_id FROM dead_letters") == [("replay", None)]


def test_a_processed_event_takes_effect_again_only_with_the_option_again(
    working, channel, omctl, query, engine
):
    with working():
        publish(channel, "m-1", body())
        wait_until(lambda: query("SELECT count(*) FROM processed_events") == [(1,)])
        for arguments, effects in (((), 1), (("--again",), 2), (("--again",), 3)):
            bury(channel, "m-1", body())
            # Clear the earlier decision in the record, as a second failure of the event would.
            with engine.begin() as transaction:
                transaction.exec_driver_sql(
                    "UPDATE dead_letters SET intervention_id = NULL, decided_at = NULL"
                )
            omctl("replay", "--reason", "try", "--yes", *arguments)
            wait_until(lambda: depth(channel) == 0)
            wait_until(lambda: query("SELECT sum(message_count) FROM conversations") == [(effects,)])  # noqa: B023
    assert query("SELECT times_received FROM processed_events ORDER BY id") == [(2,), (1,), (1,)]


def test_a_replay_publishes_the_copies_of_a_dead_letter_only_once(working, channel, omctl, query):
    for _ in range(3):
        bury(channel, "m-1", body())
    told = omctl("replay", "--reason", "try", "--yes")
    assert (told["done"], told["copies"], buried(channel), depth(channel)) == (1, 2, 0, 1)


def test_a_replay_leaves_unselected_and_newly_arrived_dead_letters_in_the_queue(channel, omctl, monkeypatch):
    monkeypatch.setattr(dead_letters_module, "MAX_WINDOW", 4)
    publish_again = EventPublisher.publish

    def die_again(self, envelope):
        publish_again(self, envelope)
        bury(channel, envelope.message_id, b"anew")

    monkeypatch.setattr(EventPublisher, "publish", die_again)
    for number in range(8):
        bury(channel, f"m-{number}", body(number))

    told = omctl("replay", "m-1", "m-2", "m-6", "--reason", "try", "--yes", "--rate", "0")
    assert (told["done"], depth(channel)) == (3, 3)
    wait_until(lambda: buried(channel) == 8)
    left = [channel.basic_get(topology.DEAD_LETTERS) for _ in range(8)]
    assert sorted(properties.message_id for _, properties, _ in left) == [
        f"m-{number}" for number in range(8)
    ]
    assert sum(content == b"anew" for *_, content in left) == 3


def test_a_replay_publishes_no_more_dead_letters_than_its_limit(channel, omctl):
    for number in range(8):
        bury(channel, f"m-{number}", body(number))
    told = omctl("replay", "--limit", "3", "--reason", "try", "--yes")
    assert (told["chosen"], told["done"], depth(channel)) == (3, 3, 3)
    wait_until(lambda: buried(channel) == 5)
    assert omctl("list")["total"] == 5


def test_a_replay_that_continues_a_killed_replay_takes_effect_once(channel, omctl, query, engine, working):
    """The second replay keeps the intervention id of the first replay."""
    bury(channel, "m-1", body())
    omctl("list", "--scan")
    with engine.begin() as transaction:
        transaction.exec_driver_sql("UPDATE dead_letters SET intervention_id = 'killed'")
    assert omctl("list")["total"] == 1
    with working():
        assert omctl("replay", "--again", "--reason", "try", "--yes")["done"] == 1
        wait_until(lambda: query("SELECT count(*) FROM processed_events") == [(1,)])
    assert query("SELECT intervention_id FROM dead_letters") == [("killed",)]


def test_an_unknown_dead_letter_and_one_of_a_destination_are_not_replayed_to_intake(channel, invoke, omctl):
    properties = pika.BasicProperties(message_id="m-1", headers={"destination": "crm"}, delivery_mode=2)
    channel.basic_publish("", topology.DEAD_LETTERS, body(), properties)
    result = invoke("replay", "m-1", "m-2", "--reason", "try", "--yes")
    assert result.exit_code == 1
    assert "omctl destinations resend crm" in result.stderr
    assert "No dead letter m-2 is open." in result.stderr
    assert [row["destination"] for row in omctl("list", "--scan")["dead_letters"]] == ["crm"]
    wait_until(lambda: buried(channel) == 1)
    assert omctl("replay", "--reason", "try", "--yes")["chosen"] == 0
    assert buried(channel) == 1
    assert invoke("discard", "m-1", "m-2", "--reason", "try", "--yes").exit_code == 0


def test_an_interrupted_replay_of_dead_letters_reports_its_progress(channel, invoke, monkeypatch):
    for number in range(3):
        bury(channel, f"m-{number}", body(number))
    publish_again, taken = EventPublisher.publish, []

    def refuse_the_second(self, envelope):
        if taken:
            raise BrokerUnavailableError("away")
        taken.append(publish_again(self, envelope))

    monkeypatch.setattr(EventPublisher, "publish", refuse_the_second)
    result = invoke("replay", "--reason", "try", "--yes")
    assert isinstance(result.exception, BrokerUnavailableError)
    assert "0 of 3 replayed; repeat the command to continue." in result.stderr
    wait_until(lambda: buried(channel) == 3)


def test_an_operator_can_confirm_a_replay_after_the_heartbeat_timeout(channel, invoke, monkeypatch):
    monkeypatch.setattr(addresses, "HEARTBEAT_SECONDS", 1)
    monkeypatch.setattr(click, "confirm", lambda *_, **__: time.sleep(4.0))
    bury(channel, "m-1", body())
    assert invoke("replay", "--reason", "try").exit_code == 0
    assert (buried(channel), depth(channel)) == (0, 1)


def test_discarded_dead_letters_leave_the_queue_and_their_bodies_are_kept(channel, omctl, query):
    bury(channel, "m-1", b"one")
    bury(channel, "m-2", b"two")
    assert omctl("discard", "m-2", "--reason", "a test", "--dry-run")["chosen"] == 1
    assert omctl("discard", "m-2", "--reason", "a test", "--yes")["done"] == 1
    assert buried(channel) == 1
    assert [
        (name, bytes(kept)) for name, kept in query("SELECT message_id, body FROM discarded_dead_letters")
    ] == [("m-2", b"two")]
    assert query("SELECT action, reason FROM interventions") == [("discard-dead-letters", "a test")]


@contextmanager
def replaying(vhost, url):
    """Replay all dead letters in a separate process."""
    words = ["--yes", "--json", "--again", "--rate", "2000", "--reason", "try"]
    process = subprocess.Popen(
        [sys.executable, "-m", "omctl", "dead-letters", "replay", *words],
        env=dict(os.environ, OM_AMQP_URL=vhost.amqp_url, OM_DATABASE_URL=url, PYTHONPATH=str(SOURCES)),
        stdout=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


wait_long = partial(wait_until, seconds=120.0)


@ON_POSTGRESQL
@pytest.mark.timeout(600)
def test_a_replay_that_is_cancelled_killed_and_continued_neither_loses_nor_repeats_a_dead_letter(
    vhost, channel, migrated_url, working, query
):
    unconfirmed = channel.connection.channel()
    for number in range(DEAD_LETTERS):
        bury(unconfirmed, f"m-{number}", body(number))
    wait_long(lambda: buried(channel) == DEAD_LETTERS)

    def sum_of(what):
        return query(f"SELECT {what}")[0][0]  # fixed words

    with working():
        with replaying(vhost, migrated_url) as replay:
            wait_long(lambda: sum_of("count(*) FROM processed_events") > DEAD_LETTERS // 5)
            replay.send_signal(signal.SIGINT)
            told = json.loads(replay.communicate()[0])
            assert replay.returncode == 1
        assert told["cancelled"]
        wait_until(lambda: buried(channel) == DEAD_LETTERS - told["done"])
        with replaying(vhost, migrated_url) as replay:
            wait_long(lambda: sum_of("count(*) FROM processed_events") > told["done"] + DEAD_LETTERS // 5)
            replay.kill()
        wait_long(lambda: buried(channel) > 0)
        with replaying(vhost, migrated_url) as replay:
            told = json.loads(replay.communicate()[0])
            assert replay.returncode == 0
        wait_long(lambda: depth(channel) == 0)
        wait_long(lambda: sum_of("sum(message_count) FROM conversations") >= DEAD_LETTERS)

    assert buried(channel) == 0
    assert sum_of("count(*) FROM processed_events WHERE outcome = 'processed'") == DEAD_LETTERS
    assert sum_of("sum(message_count) FROM conversations") == DEAD_LETTERS
    assert sum_of("count(DISTINCT message_id) FROM processed_events") == DEAD_LETTERS


@ON_POSTGRESQL
def test_a_replay_of_events_that_are_still_bad_does_not_delay_live_events(
    working, channel, query, omctl, longest_wait
):
    count = 1_000
    for number in range(count):
        bury(channel, f"bad-{number}", b'{"conversationId":"c","timestamp":"2026-01-01T00:00:00Z"}')
    is_over = threading.Event()

    def send_good():
        with pika.BlockingConnection(channel.connection._impl.params) as connection:
            own = connection.channel()
            for number in range(2_000):
                if is_over.is_set():
                    return
                now_us = time.time_ns() // 1000
                properties = encode_properties(f"good-{number}", now_us, "", "webhook")
                own.basic_publish(
                    topology.EXCHANGE, topology.EVENT_ROUTING_KEY, body(number), decode_properties(properties)
                )
                time.sleep(0.02)

    with working():
        thread = threading.Thread(target=send_good)
        thread.start()
        try:
            assert omctl("replay", "--reason", "try", "--yes", "--rate", "0")["done"] == count
            wait_until(lambda: buried(channel) == count)
        finally:
            is_over.set()
            thread.join()
        wait_until(lambda: depth(channel) == 0)
        time.sleep(0.5)
    assert query("SELECT count(*) FROM processed_events")[0][0] > 20
    assert longest_wait() < 2.0
