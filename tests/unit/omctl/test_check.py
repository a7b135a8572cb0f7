"""How omctl check judges what it sees."""

import fcntl
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from alembic.script import ScriptDirectory

from messaging.admin import BrokerObject, ObjectState
from messaging.errors import ConfigurationError
from omctl.installing import options as installation_options
from omctl.installing.options import BOTH, Role
from omctl.look.broker import check_proof, judge_alarms, judge_guest, judge_object, judge_queue
from omctl.look.check import find_roles, summarise
from omctl.look.database import judge_clock, judge_paused, judge_revision, judge_workers
from omctl.look.edge import (
    JournalState,
    check_journals,
    health_url,
    judge_journal,
    judge_list,
    judge_report,
    read_state,
)
from omctl.look.findings import Finding, Level, check_areas
from omctl.look.settings import check_settings, judge_secrets, judge_setting, show_value
from webhook_api.journal import encode_header
from workers.db.migrations.schema import DIRECTORY, is_newer
from workers.db.stats import WorkerReport

EVENTS = "open-messaging.events"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("OM_WEBHOOK_SECRETS", "first-secret,second-secret", "set, 2 values"),
        ("OM_REQUIRED_HEADERS", "X-Webhook-Source=genesys-cloud", "set, 1 value"),
        ("OM_EVENTS_HEADERS", "X-Api-Key=hidden", "set, 1 value"),
        ("OM_AMQP_URL", "amqp://u:hidden@a:5672/v,amqp://u:hidden@b/v", "amqp://a:5672/v, amqp://b/v"),
        ("OM_DATABASE_URL", "postgresql://u:hid@den@db/om", "postgresql://db/om"),
        ("OM_MANAGEMENT_URL", "hidden", "set"),
        ("OM_WEBHOOK_SECRETS_FILE", "/run/secret", "read from /run/secret"),
        ("OM_BATCH_EVENTS", "100", "100"),
    ],
)
def test_a_setting_is_shown_without_its_secret(name, value, text):
    assert show_value(name, value) == text


def queue(name, ready=0, consumers=0):
    return judge_object(BrokerObject("queue", name, ObjectState.EXISTS, ready=ready, consumers=consumers))


def policy(**keys):
    return judge_queue(EVENTS, {"messages": 3, "policy": "p", "effective_policy_definition": keys})


def members(online):
    return judge_queue(EVENTS, {"members": ["a", "b", "c"], "online": ["a", "b", "c"][:online]})


def journal(*, is_owned=True, entries=9, damaged=0, age=5):
    return judge_journal(JournalState("a", is_owned, entries, 9, damaged, age))


DEAD_LETTERS = "open-messaging.dead-letters"


@pytest.mark.parametrize(
    ("level", "findings"),
    [
        (
            Level.OK,
            [
                queue(EVENTS, 9, 2),
                queue(DEAD_LETTERS),
                judge_object(BrokerObject("exchange", "open-messaging", ObjectState.EXISTS)),
                policy(),
                policy(**{"delivery-limit": 9}),
                members(3),
                members(2),
                *check_proof(1, 0, has_confirms=False),
                *check_proof(3, 3, has_confirms=False),
                *check_proof(3, 0, has_confirms=True),
                judge_list(3600.0, is_enforced=True),
                judge_guest(401),
                journal(entries=0, age=0),
                journal(),
                journal(is_owned=False, entries=0),
            ],
        ),
        (
            Level.WARNING,
            [
                queue(EVENTS),
                queue(DEAD_LETTERS, ready=1),
                *check_proof(3, 1, has_confirms=False),
                judge_list(None, is_enforced=True),
                judge_list(8 * 86400.0, is_enforced=True),
                judge_list(3600.0, is_enforced=False),
                judge_guest(200),
                journal(age=500),
            ],
        ),
        (
            Level.PROBLEM,
            [
                judge_object(BrokerObject("queue", EVENTS, ObjectState.MISSING)),
                judge_object(BrokerObject("queue", EVENTS, ObjectState.DIFFERS, "inequivalent arg")),
                policy(**{"max-length": 10}),
                policy(**{"message-ttl": 10}),
                judge_queue(EVENTS, {"error": "Object Not Found", "reason": "Not Found"}),
                members(1),
                *check_proof(3, 0, has_confirms=False),
                journal(is_owned=False),
                journal(damaged=4),
            ],
        ),
    ],
)
def test_what_is_seen_is_judged_by_what_it_means_for_events(level, findings):
    assert [finding for finding in findings if finding.level is not level] == []


@pytest.mark.parametrize(
    ("reports", "levels"),
    [
        ((), {"settle": Level.WARNING}),
        ((("settle", 10.0),), {"settle": Level.OK}),
        ((("settle", 61.0),), {"settle": Level.PROBLEM}),
        ((("settle", 61.0), ("settle", 1.0)), {"settle": Level.WARNING}),
        ((("settle", 1.0), ("deliver", 61.0)), {"settle": Level.OK, "deliver": Level.PROBLEM}),
    ],
)
def test_a_role_whose_workers_do_not_report_is_a_problem(reports, levels):
    found = judge_workers(
        [WorkerReport(role, "vm 1", NOW, NOW - timedelta(seconds=age), {}) for role, age in reports], NOW
    )
    assert {finding.subject.removesuffix(" workers"): finding.level for finding in found} == levels


def test_a_secret_in_the_settings_file_is_reported_without_its_value():
    [finding] = judge_secrets({"OM_EVENTS_HEADERS": "X-Api-Key=hidden", "OM_AMQP_URL": " ", "OM_BIND": "x"})

    assert (finding.subject, finding.level) == ("OM_EVENTS_HEADERS", Level.WARNING)
    assert "hidden" not in repr(finding)


def test_a_misspelt_setting_is_pointed_out_and_its_value_is_not_shown():
    finding = judge_setting("OM_WEBHOOK_SECRET", "hidden")
    assert finding.level is Level.WARNING
    assert "hidden" not in repr(finding)


def test_an_unknown_depth_is_not_called_zero():
    assert "not known" in judge_queue(EVENTS, {}).text


def test_an_alarm_names_its_node_and_resource():
    report = {"status": "failed", "alarms": [{"node": "rabbit@a", "resource": "disk"}]}
    assert judge_alarms(report).text == "disk on rabbit@a"
    assert judge_alarms(report).level is Level.PROBLEM
    assert judge_alarms({"status": "ok"}).level is Level.OK


@pytest.mark.parametrize(
    ("bind", "url"),
    [
        ("127.0.0.1:8080", "http://127.0.0.1:8080/health/ready"),
        ("0.0.0.0:80", "http://127.0.0.1:80/health/ready"),
        ("[::]:80", "http://[::1]:80/health/ready"),
        (":8080", "http://127.0.0.1:8080/health/ready"),
        ("unix:/run/edge.sock", None),
    ],
)
def test_the_edge_is_queried_where_it_listens(bind, url):
    assert health_url(bind) == url


def test_an_edge_is_reported_as_a_whole_with_its_problems_and_processes():
    report = {
        "problems": ["the broker is away: events wait in the journal"],
        "processes": [
            {"pid": 7, "journal": {"bytes": 10, "damaged_bytes": 0}},
            {"pid": 8, "journal": {"damaged_bytes": 3}},
        ],
    }
    levels = [finding.level for finding in judge_report("url", 200, report)]
    assert levels == [Level.OK, Level.WARNING, Level.OK, Level.PROBLEM]
    assert judge_report("url", 503, {})[0].level is Level.PROBLEM


def test_a_journal_on_disk_is_counted_with_its_damage_and_its_owner(tmp_path):
    record = encode_header(b"properties", b"body") + b"properties" + b"body"
    (tmp_path / "00000001.segment").write_bytes(record + record + record[:-2])
    lock = (tmp_path / "lock").open("w")
    state = read_state(tmp_path)
    assert (state.entries, state.damaged, state.is_owned) == (2, len(record) - 2, False)
    lock.close()


def test_an_incomplete_last_record_of_a_living_journal_is_no_damage(tmp_path):
    record = encode_header(b"properties", b"body") + b"properties" + b"body"
    (tmp_path / "00000001.segment").write_bytes(record + record[:-2])
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        state = read_state(tmp_path)
    assert (state.entries, state.damaged, state.is_owned) == (1, 0, True)


def test_files_set_aside_are_reported(tmp_path):
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "7-00000001.segment").touch()
    (finding,) = [found for found in check_journals(tmp_path / "journal") if found.level is Level.WARNING]
    assert "7-00000001.segment" in finding.text


@pytest.mark.parametrize(
    ("put", "level", "text"),
    [
        (lambda home: (home / "thing").touch(), Level.WARNING, "no directory"),
        (lambda home: (home / "thing").symlink_to(home), Level.WARNING, "a symbolic link"),
        (lambda home: (home / "thing").mkdir(), Level.PROBLEM, "no file named lock"),
    ],
)
def test_entries_that_the_edge_skips_are_reported_and_the_rest_is_checked(tmp_path, put, level, text):
    home = tmp_path / "journal"
    (home / "7-a").mkdir(parents=True)
    (home / "7-a" / "lock").touch()
    put(home)
    findings = {finding.subject: finding for finding in check_journals(home)}
    assert findings["thing"].level is level
    assert text in findings["thing"].text
    assert findings["7-a"].level is Level.OK


def test_a_journal_directory_that_is_a_file_is_reported(tmp_path):
    (tmp_path / "journal").touch()
    (finding,) = check_journals(tmp_path / "journal")
    assert finding.level is Level.WARNING


def test_a_file_of_registrations_that_cannot_be_read_is_a_problem(tmp_path, monkeypatch):
    path = tmp_path / "registration.toml"
    path.write_text("url = 7")
    monkeypatch.setenv("OM_REGISTRATION", str(path))
    findings = {finding.subject: finding for finding in check_settings()}
    assert findings["registration"].level is Level.PROBLEM
    assert "OM_REGISTRATION: url" in findings["registration"].advice


def test_a_host_is_checked_for_the_role_that_it_was_installed_for(tmp_path, monkeypatch):
    kept = tmp_path / "installation.toml"
    monkeypatch.setattr(installation_options, "SAVED", kept)
    assert find_roles(None) == (frozenset(Role), [])
    kept.write_text('role = "worker"')
    roles, [note] = find_roles(None)
    assert roles == {Role.WORKER}
    assert note.text.startswith("only worker")
    assert find_roles(BOTH) == (frozenset(Role), [])


def test_everything_is_checked_if_the_installation_cannot_be_read(tmp_path, monkeypatch):
    kept = tmp_path / "installation.toml"
    kept.write_text('role = "neither"')
    monkeypatch.setattr(installation_options, "SAVED", kept)
    roles, [note] = find_roles(None)
    assert roles == set(Role)
    assert note.level is Level.WARNING
    assert str(kept) in note.advice


@pytest.mark.parametrize(
    ("ahead", "level", "text"),
    [
        (0.0, Level.OK, "0.0 s behind the database's"),
        (2.0, Level.OK, "2.0 s ahead of the database's"),
        (-1.9, Level.OK, "1.9 s behind the database's"),
        (2.1, Level.PROBLEM, "2.1 s ahead of the database's"),
        (-3600.0, Level.PROBLEM, "3600.0 s behind the database's"),
    ],
)
def test_a_clock_that_differs_from_the_databases_by_more_than_two_seconds_is_a_problem(ahead, level, text):
    finding = judge_clock("a.example", ahead)

    assert (finding.level, finding.text) == (level, text)
    assert ("NTP" in finding.advice) == (level is Level.PROBLEM)


def test_a_paused_destination_is_reported_with_the_command_that_resumes_it():
    paused = SimpleNamespace(name="crm", paused_at=datetime(2026, 1, 1, tzinfo=UTC), paused_because="gone")
    active = SimpleNamespace(name="content", paused_at=None, paused_because=None)
    [finding] = judge_paused([paused, active])
    assert (finding.level, finding.advice) == (Level.WARNING, "omctl destinations resume crm")


@pytest.mark.parametrize(
    ("content", "level", "advice"),
    [
        ('secrets = "whsec_c2VjcmV0"', Level.PROBLEM, "OM_DESTINATIONS: destinations.crm.secret"),
        ('secret = "whsec_c2VjcmV0"\nevents = ["openmessaging:receipt"]', Level.OK, ""),
    ],
)
def test_the_file_of_destinations_is_read_as_deliver_reads_it(monkeypatch, tmp_path, content, level, advice):
    path = tmp_path / "destinations.toml"
    path.write_text(f'[destinations.crm]\nurl = "https://crm.example/"\n{content}\n')
    monkeypatch.setenv("OM_DESTINATIONS", str(path))
    [finding] = [found for found in check_settings() if found.subject == "destinations"]
    assert finding.level is level
    assert finding.advice.startswith(advice)
    assert "c2VjcmV0" not in finding.advice


REVISIONS = [script.revision for script in ScriptDirectory(DIRECTORY).walk_revisions()]


@pytest.mark.parametrize(
    ("revision", "newer"),
    [(None, False), ("0001", False), ("9999", True), ("ae1027a6acf0", False)],
)
def test_a_number_above_the_newest_revision_belongs_to_a_later_version(revision, newer):
    assert is_newer(revision) is newer
    assert all(ours.isdecimal() for ours in REVISIONS)


@pytest.mark.parametrize(
    ("revision", "level"),
    [(REVISIONS[0], Level.OK), ("9999", Level.NOTE), ("0000", Level.PROBLEM), (None, Level.PROBLEM)],
)
def test_only_tables_that_lack_a_revision_are_a_problem(revision, level):
    finding = judge_revision(revision, REVISIONS[0])
    assert finding.level is level
    assert finding.advice == ("Run omctl migrate." if level is Level.PROBLEM else "")


def test_an_area_that_fails_or_hangs_hides_no_other_and_costs_no_more_than_its_time():
    def refuse():
        raise ConfigurationError("OM_X must be a number")

    areas = {
        "hung": lambda: time.sleep(30) or [],
        "broken": lambda: 1 / 0,
        "refused": refuse,
        "well": lambda: [Finding("well", "it", Level.OK, "works")],
    }
    begun = time.monotonic()
    findings = {finding.area: finding for finding in check_areas(areas, 0.2)}

    assert time.monotonic() - begun < 5
    assert list(findings) == list(areas)
    assert [finding.level for finding in findings.values()] == [Level.PROBLEM] * 3 + [Level.OK]
    assert findings["refused"].advice == "OM_X must be a number"


def test_problems_come_first_and_a_healthy_area_is_one_line():
    findings = [
        Finding("broker", "connection", Level.OK, "works"),
        Finding("broker", "queue", Level.OK, "exists"),
        Finding("database", "drift", Level.NOTE, "3 unknown names"),
        Finding("database", "connection", Level.OK, "works"),
        Finding("edge", "process 7", Level.OK, "works"),
        Finding("edge", "url", Level.PROBLEM, "does not run", "Start it."),
        Finding("journal", "7", Level.WARNING, "old"),
    ]
    rows = [(finding.level.value, finding.area, finding.text) for finding in summarise(findings)]
    assert rows == [
        ("problem", "edge", "does not run"),
        ("warning", "journal", "old"),
        ("note", "database", "3 unknown names"),
        ("ok", "broker", "2 checked"),
        ("ok", "database", "1 checked"),
    ]
