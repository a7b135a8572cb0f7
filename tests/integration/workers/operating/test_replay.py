"""Past events run again: out of the database, through the broker, into intake."""

import json

import pytest
from click.testing import CliRunner

from messaging.admin import EventPublisher
from messaging.errors import BrokerUnavailableError
from omctl.repair.replay import replay as command
from tests.integration.workers.consuming import depth
from tests.integration.workers.events import deliver, said
from tests.waiting import wait_until


@pytest.fixture
def omctl(vhost, migrated_url):
    """Run `omctl replay` and return what it says as JSON."""

    def run(*arguments, status=0, is_asked=False):
        environment = {"OM_AMQP_URL": vhost.amqp_url, "OM_DATABASE_URL": migrated_url}
        words = [*arguments, "--json", *([] if is_asked else ["--yes"]), "--rate", "0"]
        result = CliRunner().invoke(command, words, env=environment, catch_exceptions=False)
        assert result.exit_code == status, result.output
        return json.loads(result.stdout) if result.stdout else result.stderr

    return run


@pytest.fixture
def happened(intake):
    """Six messages of two conversations."""
    for number in range(6):
        intake(deliver(said("a", conversation=f"c-{number % 2}", after_ms=number)))


def effects(query):
    return dict(query("SELECT conversation_id, message_count FROM conversations"))


def test_a_conversation_runs_again_without_effect_or_with_one_each(
    happened,
    omctl,
    channel,
    working,
    query,
):
    told = omctl("--conversation", "c-1", "--reason", "try")
    assert (told["chosen"], told["done"], depth(channel)) == (3, 3, 3)
    with working():
        wait_until(lambda: query("SELECT sum(deliveries) FROM processed_events") == [(9,)])
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


def test_the_range_and_the_type_choose(happened, omctl, channel):
    assert omctl("--since", "1h", "--dry-run")["chosen"] == 6
    assert omctl("--until", "1h", "--dry-run")["chosen"] == 0
    assert omctl("--type", "message", "--dry-run")["chosen"] == 6
    assert omctl("--type", "updated", "--dry-run")["chosen"] == 0
    assert depth(channel) == 0


def test_what_was_cut_short_goes_on_and_takes_effect_once(  # noqa: PLR0917  # fixtures
    happened,
    omctl,
    channel,
    working,
    query,
    engine,
):
    told = omctl("--since", "1h", "--again", "--reason", "try")
    # As a process leaves it that was killed when it had published more than it has recorded.
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE interventions SET outcome = NULL, done = 2, through = 2")

    resumed = omctl("--resume", told["intervention"])
    assert (resumed["chosen"], resumed["done"], depth(channel)) == (6, 6, 10)
    with working():
        wait_until(lambda: depth(channel) == 0)
        wait_until(lambda: effects(query) == {"c-0": 6, "c-1": 6})
    assert query("SELECT outcome, done FROM interventions") == [("done", 6)]
    omctl("--resume", told["intervention"], status=2)


def test_a_resumed_replay_publishes_nothing_by_dry_run_or_unasked(happened, omctl, channel, engine, query):
    told = omctl("--since", "1h", "--again", "--reason", "try")
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE interventions SET outcome = NULL, done = 2, through = 2")

    resumed = omctl("--resume", told["intervention"], "--dry-run")
    assert resumed == {"chosen": 6, "done": 2, "copies": 0, "cancelled": False, "intervention": None}
    assert "4 of 6 events will be replayed" in omctl(
        "--resume", told["intervention"], status=1, is_asked=True
    )
    assert depth(channel) == 6
    assert query("SELECT outcome, done FROM interventions") == [(None, 2)]


def test_what_would_choose_or_decide_is_refused_beside_resume(omctl):
    said = omctl("--resume", "5f0c", "--since", "1h", "--type", "new", "--again", "--reason", "r", status=2)
    assert "leave --since, --type, --again, --reason out" in said


def test_a_broker_that_is_away_leaves_no_unfinished_intervention(happened, migrated_url, query):
    environment = {"OM_AMQP_URL": "amqp://127.0.0.1:1/", "OM_DATABASE_URL": migrated_url}
    result = CliRunner().invoke(
        command, ["--since", "1h", "--again", "--reason", "try", "--yes"], env=environment
    )
    assert isinstance(result.exception, BrokerUnavailableError)
    assert query("SELECT count(*) FROM interventions") == [(0,)]


def test_a_broker_that_goes_away_leaves_the_command_that_continues(
    happened, vhost, migrated_url, monkeypatch, query
):
    def refuse(_self, _envelope):
        raise BrokerUnavailableError("away")

    monkeypatch.setattr(EventPublisher, "publish", refuse)
    environment = {"OM_AMQP_URL": vhost.amqp_url, "OM_DATABASE_URL": migrated_url}
    result = CliRunner().invoke(command, ["--since", "1h", "--reason", "try", "--yes"], env=environment)
    [(intervention, outcome)] = query("SELECT intervention_id, outcome FROM interventions")
    assert (isinstance(result.exception, BrokerUnavailableError), outcome) == (True, "cancelled")
    assert f"omctl replay --resume {intervention}" in result.stderr


def test_everything_at_once_or_for_no_reason_is_refused(omctl):
    omctl("--reason", "try", status=2)
    omctl("--since", "1h", status=2)
