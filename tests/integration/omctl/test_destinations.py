"""omctl destinations against a real receiver and a database."""

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


def test_a_test_is_one_signed_event_and_tells_the_answer(omctl, inbox):
    done = omctl("test", "crm")
    assert (done.exit_code, done.output[:22]) == (0, "crm: 204 (delivered) a")
    assert [each.event_type for each in inbox.accepted] == ["openmessaging:test"]
    inbox.fault_for = lambda _told: Fault(503)
    failed = omctl("test", "crm", "--json")
    assert failed.exit_code == 1
    assert json.loads(failed.output)["answer"] == "503"


def test_the_list_shows_states_and_neither_passwords_nor_secrets(omctl):
    def row():
        return json.loads(omctl("list", "--json").output)["destinations"][0]

    assert row()["state"] == "no deliver process yet"
    assert omctl("pause", "crm", "--dry-run").output == "crm: would be paused\n"
    assert omctl("resume", "crm", "--dry-run").output == "crm: not paused\n"
    assert omctl("pause", "crm").output == "crm: paused\n"
    assert omctl("pause", "crm", "--dry-run").output == "crm: already paused\n"
    resumption = {"destination": "crm", "changed": True, "done": False}
    assert json.loads(omctl("resume", "crm", "--dry-run", "--json").output) == resumption
    assert omctl("pause", "crm").output == "crm: already paused\n"
    assert row()["state"] == "paused (operator)"
    assert omctl("resume", "crm").output == "crm: resumed\n"
    assert omctl("resume", "crm").output == "crm: not paused\n"
    assert row()["state"] == "active"
    table = omctl("list").output
    assert "crm" in table
    assert "hidden" not in table
    assert SECRET not in table


def test_one_that_is_not_configured_is_refused_by_name(omctl):
    for verb in ("pause", "resume"):
        refused = omctl(verb, "cmr").exception
        assert isinstance(refused, ConfigurationError)
        assert "it has crm" in str(refused)


def test_the_list_shows_the_failure_that_is_tried_again_last_and_none_of_what_is_done(
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
    [row] = json.loads(omctl("list", "--json").output)["destinations"]
    assert (row["waiting"], row["last_failure"]) == (3, "500")
