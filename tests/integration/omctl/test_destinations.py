"""omctl destinations runs with a real receiver and a database."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner
from sqlalchemy import insert

from messaging.errors import ConfigurationError
from omctl.repair.destinations import destinations
from simulator.platform import Fault
from simulator.receiver import Inbox, serve_receiver
from workers.db.engine import make_engine
from workers.db.models import deliveries, outbox
from workers.deliver import EVENT_TYPES

SECRET = "whsec_Y29uc3RydWN0ZWQtc2VjcmV0"


@pytest.fixture
def inbox():
    return Inbox({"crm": SECRET})


@pytest.fixture
def omctl(inbox, migrated_sqlite_url, tmp_path, monkeypatch):
    with serve_receiver(inbox) as address:
        host = address.removeprefix("http://")
        path = tmp_path / "destinations.toml"
        path.write_text(
            f'[destinations.crm]\nurl = "http://user:hidden@{host}/crm"\nsecret = "{SECRET}"\n'
            f"events = {list(EVENT_TYPES)!r}\n"
        )
        monkeypatch.setenv("OM_DESTINATIONS", str(path))
        monkeypatch.setenv("OM_DATABASE_URL", migrated_sqlite_url)
        yield lambda *arguments: CliRunner().invoke(destinations, arguments)


def test_the_test_command_sends_one_signed_event_and_shows_the_answer(omctl, inbox):
    done = omctl("test", "crm")
    assert (done.exit_code, done.output[:22]) == (0, "crm: 204 (delivered) a")
    assert [event.event_type for event in inbox.accepted] == ["openmessaging:test"]
    inbox.fault_for = lambda _event: Fault(503)
    failed = omctl("test", "crm", "--json")
    assert failed.exit_code == 1
    assert json.loads(failed.output)["answer"] == "503"


def row(omctl):
    return json.loads(omctl("list", "--json").output)["destinations"][0]


def test_a_destination_can_be_paused_and_resumed(omctl):
    assert row(omctl)["state"] == "no deliver process yet"
    assert omctl("pause", "crm", "--dry-run").output == "crm: would be paused\n"
    assert omctl("resume", "crm", "--dry-run").output == "crm: not paused\n"
    assert omctl("pause", "crm").output == "crm: paused\n"
    assert omctl("pause", "crm", "--dry-run").output == "crm: already paused\n"
    resumption = {"destination": "crm", "changed": True, "done": False}
    assert json.loads(omctl("resume", "crm", "--dry-run", "--json").output) == resumption
    assert omctl("pause", "crm").output == "crm: already paused\n"
    assert row(omctl)["state"] == "paused (operator)"
    assert omctl("resume", "crm").output == "crm: resumed\n"
    assert omctl("resume", "crm").output == "crm: not paused\n"
    assert row(omctl)["state"] == "active"
    for verb in ("pause", "resume"):
        with pytest.raises(ConfigurationError, match="it has crm"):
            raise omctl(verb, "cmr").exception


def test_the_list_shows_no_secret_and_the_waiting_failure_that_is_retried_last_but_no_dead_letter(
    omctl, migrated_sqlite_url
):
    now = datetime.now(UTC).replace(tzinfo=None)
    failed = [("timeout", 5, None), ("500", 60, None), ("unreachable", 10, None), ("422", 90, "dead")]
    entry = {"event_type": "t", "occurred_at": now, "late": False, "created_at": now}
    engine = make_engine(migrated_sqlite_url)
    with engine.begin() as connection:
        for number, (reason, seconds, outcome) in enumerate(failed):
            conversation = {"conversation_id": f"c-{number}"}
            connection.execute(insert(outbox).values(id=number, **conversation, **entry))
            delivery = {"outbox_id": number, "destination": "crm", "attempts": 1, "reason": reason}
            due = {"outcome": outcome, "due_at": now + timedelta(seconds=seconds)}
            connection.execute(insert(deliveries).values(**delivery, **conversation, **due))
    engine.dispose()
    assert (row(omctl)["waiting"], row(omctl)["last_failure"]) == (3, "500")
    table = omctl("list").output
    assert "crm" in table
    assert not [secret for secret in ("hidden", SECRET) if secret in table]
