"""omctl replay publishes past events again, with the bodies from the database."""

import time
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from click.testing import CliRunner

from messaging.admin import EventPublisher
from messaging.broker import addresses
from messaging.errors import BrokerUnavailableError
from omctl.repair.replay import replay as command
from tests.integration.workers.commands import run_omctl
from tests.integration.workers.consuming import depth
from tests.integration.workers.events import deliver, said
from tests.waiting import wait_until
from workers.db import past_events
from workers.db.models import processed_events


@pytest.fixture
def invoke(vhost, migrated_url):
    """Return a function that runs `omctl replay`."""
    environment = {"OM_AMQP_URL": vhost.amqp_url, "OM_DATABASE_URL": migrated_url}
    return lambda *arguments, **changes: CliRunner().invoke(command, arguments, env=environment | changes)


@pytest.fixture
def omctl(vhost, migrated_url):
    """Return a function that runs `omctl replay` without asking for confirmation and returns its report."""
    environment = {"OM_AMQP_URL": vhost.amqp_url, "OM_DATABASE_URL": migrated_url}
    return partial(run_omctl, command, "--yes", "--rate", "0", **environment)


@pytest.fixture
def happened(intake):
    """Process six messages of two conversations."""
    for number in range(6):
        intake(deliver(said("a", conversation=f"c-{number % 2}", after_ms=number)))


def effects(query):
    return dict(query("SELECT conversation_id, message_count FROM conversations"))


def test_a_replayed_conversation_takes_effect_again_only_with_the_option_again(
    happened, omctl, channel, working, query
):
    told = omctl("--conversation", "c-1", "--reason", "try")
    assert (told["chosen"], told["done"], depth(channel)) == (3, 3, 3)
    with working():
        wait_until(lambda: query("SELECT sum(times_received) FROM processed_events") == [(9,)])
    assert effects(query) == {"c-0": 3, "c-1": 3}

    omctl("--conversation", "c-1", "--again", "--reason", "the CRM lost it")
    with working():
        wait_until(lambda: effects(query) == {"c-0": 3, "c-1": 6})
    assert query("SELECT count(*) FROM processed_events WHERE source = 'replay'") == [(3,)]
    assert query(
        "SELECT action, reason, again, chosen, done, outcome FROM interventions ORDER BY started_at"
    ) == [
        ("replay-events", "try", False, 3, 3, "done"),
        ("replay-events", "the CRM lost it", True, 3, 3, "done"),
    ]


def test_a_batch_may_be_read_for_longer_than_the_heartbeat_timeout(happened, omctl, channel, monkeypatch):
    def read_slowly(*arguments):
        time.sleep(4.0)
        return read(*arguments)

    read = past_events.read_past_events
    monkeypatch.setattr(addresses, "HEARTBEAT_SECONDS", 1)
    monkeypatch.setattr(past_events, "read_past_events", read_slowly)
    assert omctl("--since", "1h", "--reason", "try")["done"] == 6
    assert depth(channel) == 6


def test_a_replay_is_limited_by_time_and_by_event_type(happened, omctl, channel, engine):
    assert omctl("--since", "1h", "--dry-run")["chosen"] == 6
    assert omctl("--until", "1h", "--dry-run")["chosen"] == 0
    assert omctl("--type", "message", "--dry-run")["chosen"] == 6
    assert omctl("--type", "updated", "--dry-run")["chosen"] == 0
    assert depth(channel) == 0
    # If an edge's clock is ahead, its events are processed before the time at which they were received.
    with engine.begin() as connection:
        processed_at = datetime.now(UTC) - timedelta(hours=2)
        connection.execute(processed_events.update().values(processed_at=processed_at))
    assert omctl("--since", "1h", "--dry-run")["chosen"] == 6


@pytest.fixture
def interrupted(happened, omctl, channel, engine):
    """The id of a replay whose process was killed after it had published more events than it had recorded."""
    replayed = omctl("--since", "1h", "--again", "--reason", "try")
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE interventions SET outcome = NULL, done = 2, through = 2")
    return replayed["intervention"]


def test_an_interrupted_replay_is_resumed_and_takes_effect_once(interrupted, omctl, channel, working, query):
    resumed = omctl("--resume", interrupted)
    assert (resumed["chosen"], resumed["done"], depth(channel)) == (6, 6, 10)
    with working():
        wait_until(lambda: depth(channel) == 0)
        wait_until(lambda: effects(query) == {"c-0": 6, "c-1": 6})
    assert query("SELECT outcome, done FROM interventions") == [("done", 6)]
    omctl("--resume", interrupted, status=2)


def test_a_resumed_replay_publishes_nothing_in_a_dry_run_or_without_confirmation(
    interrupted, omctl, invoke, channel, query
):
    resumed = omctl("--resume", interrupted, "--dry-run")
    assert resumed == {"chosen": 6, "done": 2, "copies": 0, "cancelled": False, "intervention": None}
    assert "4 of 6 events will be replayed" in invoke("--resume", interrupted).output
    assert depth(channel) == 6
    assert query("SELECT outcome, done FROM interventions") == [(None, 2)]


def test_resume_refuses_options_that_select_events_or_give_a_reason(omctl):
    error = omctl("--resume", "5f0c", "--since", "1h", "--type", "new", "--again", "--reason", "r", status=2)
    assert "leave --since, --type, --again, --reason out" in error


def test_a_replay_without_a_broker_records_no_intervention(happened, invoke, query):
    arguments = ("--since", "1h", "--again", "--reason", "try", "--yes")
    result = invoke(*arguments, OM_AMQP_URL="amqp://127.0.0.1:1/")
    assert isinstance(result.exception, BrokerUnavailableError)
    assert query("SELECT count(*) FROM interventions") == [(0,)]


def test_a_replay_that_loses_its_broker_prints_the_command_that_continues_it(
    happened, invoke, monkeypatch, query
):
    def refuse(_self, _envelope):
        raise BrokerUnavailableError("away")

    monkeypatch.setattr(EventPublisher, "publish", refuse)
    result = invoke("--since", "1h", "--reason", "try", "--yes")
    [(intervention, outcome)] = query("SELECT intervention_id, outcome FROM interventions")
    assert (isinstance(result.exception, BrokerUnavailableError), outcome) == (True, "cancelled")
    assert f"omctl replay --resume {intervention}" in result.stderr


def test_a_replay_without_a_selection_or_a_reason_is_refused(omctl):
    omctl("--reason", "try", status=2)
    omctl("--since", "1h", status=2)
