"""omctl check rates its findings by their effect on events."""

import fcntl
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from messaging.admin import BrokerObject, ObjectState
from messaging.environment import Environment
from messaging.errors import ConfigurationError
from omctl.installing import options as installation_options
from omctl.installing.options import BOTH, Role
from omctl.look import edge
from omctl.look.broker import (
    judge_alarms,
    judge_guest,
    judge_object,
    judge_proof,
    judge_queue,
    withdraw_counts,
)
from omctl.look.check import find_roles, summarise
from omctl.look.database import (
    judge_clock,
    judge_paused,
    judge_revision,
    judge_tables,
    judge_workers,
    list_expected,
)
from omctl.look.edge import (
    JournalState,
    check_canary,
    check_journals,
    health_url,
    judge_journal,
    judge_list,
    judge_report,
    read_state,
)
from omctl.look.findings import Finding, Level, check_areas
from omctl.look.settings import check_settings, judge_secrets, judge_setting
from webhook_api.health import _BROKER_PROBLEMS
from webhook_api.journal import encode_header
from workers.db.migrations.schema import head_revision
from workers.db.stats import WorkerReport

EVENTS = "open-messaging.events"
DEAD_LETTERS = "open-messaging.dead-letters"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
CANARY = {"OM_CANARY_URL": "https://u:hidden@hooks.example.com/w", "OM_METRICS_BIND": "127.0.0.1:1"}


def queue(name, ready=0, consumers=0):
    return judge_object(BrokerObject("queue", name, ObjectState.EXISTS, ready=ready, consumers=consumers))


def policy(**keys):
    return judge_queue(EVENTS, {"messages": 3, "policy": "p", "effective_policy_definition": keys})


def members(online, found=3, brokers=3):
    return judge_queue(EVENTS, {"members": [*"abcde"][:found], "online": [*"abcde"][:online]}, brokers)


def journal(*, is_owned=True, entries=9, damaged=0, age=5):
    return judge_journal("a", JournalState(is_owned, entries, 9, damaged, age))


def item(state, kind="queue"):
    return judge_object(BrokerObject(kind, EVENTS, state, "inequivalent arg"))


ALARM = {"status": "failed", "alarms": [{"node": "rabbit@a", "resource": "disk"}]}
HEAD = head_revision()
IN_FILE = {"OM_EVENTS_HEADERS": "X-Api-Key=hidden", "OM_AMQP_URL": " ", "OM_BIND": "x"}
PAUSED = SimpleNamespace(name="crm", paused_at=NOW, paused_because="gone")
ACTIVE = SimpleNamespace(name="content", paused_at=None, paused_because=None)


@pytest.mark.parametrize(
    ("finding", "level", "text"),
    [
        (queue(EVENTS, 9, 2), Level.OK, "exists, 9 ready, 2 consumers"),
        (queue(EVENTS), Level.WARNING, "0 consumers"),
        (queue(DEAD_LETTERS), Level.OK, "exists"),
        (queue(DEAD_LETTERS, ready=1), Level.WARNING, "1 ready"),
        (item(ObjectState.EXISTS, "exchange"), Level.OK, "exists"),
        (item(ObjectState.MISSING), Level.PROBLEM, "is missing"),
        (item(ObjectState.DIFFERS), Level.PROBLEM, "inequivalent arg"),
        (policy(), Level.OK, "depth 3, no policy"),
        (policy(**{"delivery-limit": 9}), Level.OK, "no policy limits it"),
        (policy(**{"max-length": 10}), Level.PROBLEM, "p sets max-length"),
        (policy(**{"message-ttl": 10}), Level.PROBLEM, "p sets message-ttl"),
        (judge_queue(EVENTS, {}), Level.OK, "depth not known"),
        (judge_queue(EVENTS, {"error": "x", "reason": "Not Found"}), Level.PROBLEM, "Not Found"),
        (members(3), Level.OK, "3 of 3 members online"),
        (members(2), Level.WARNING, "2 of 3 members online"),
        (members(2, 2), Level.WARNING, "2 of 3 members online"),
        (members(1, 1), Level.WARNING, "1 of 3 members online"),
        (members(1, 1, brokers=1), Level.OK, "no policy limits it"),
        (members(3, brokers=5), Level.OK, "3 of 3 members online"),
        (members(1), Level.PROBLEM, "1 of its 3"),
        (judge_queue(EVENTS, {"state": "minority"}), Level.PROBLEM, "its state is minority"),
        (judge_queue(EVENTS, {"state": "running"}), Level.OK, "depth not known"),
        (judge_proof(1, 0, has_confirms=False), Level.OK, "one broker"),
        (judge_proof(3, 3, has_confirms=False), Level.OK, "a majority"),
        (judge_proof(3, 0, has_confirms=True), Level.OK, "confirms"),
        (judge_proof(3, 1, has_confirms=False), Level.WARNING, "1 addresses"),
        (judge_proof(3, 0, has_confirms=False), Level.PROBLEM, "no management API"),
        (judge_alarms({"status": "ok"}), Level.OK, "none"),
        (judge_alarms(ALARM), Level.PROBLEM, "disk on rabbit@a"),
        (judge_guest(401, "127.0.0.1"), Level.OK, "no access"),
        (judge_guest(401, "om-1"), Level.NOTE, "is not checked"),
        (judge_guest(200, "localhost"), Level.WARNING, "administrator"),
        (judge_guest(200, "om-1"), Level.WARNING, "administrator"),
        (check_canary(SimpleNamespace(string=CANARY.get)), Level.WARNING, "is unknown"),
        (judge_list(3600.0, is_enforced=True), Level.OK, "others are refused"),
        (judge_list(3600.0, is_enforced=False), Level.WARNING, "others are logged"),
        (judge_list(None, is_enforced=True), Level.WARNING, "not been fetched"),
        (judge_list(8 * 86400.0, is_enforced=True), Level.WARNING, "8.0 days ago"),
        (journal(), Level.OK, "9 entries"),
        (journal(is_owned=False, entries=0), Level.OK, "0 entries"),
        (journal(age=500), Level.WARNING, "oldest segment 500 s"),
        (journal(is_owned=False), Level.PROBLEM, "9 entries"),
        (journal(damaged=4), Level.PROBLEM, "4 bytes unreadable"),
        (judge_clock("a.example", 2.0), Level.OK, "2.0 s ahead of the database's"),
        (judge_clock("a.example", -1.9), Level.OK, "1.9 s behind the database's"),
        (judge_clock("a.example", 2.1), Level.PROBLEM, "2.1 s ahead of the database's"),
        (judge_clock("a.example", -3600.0), Level.PROBLEM, "3600.0 s behind the database's"),
        (judge_revision(HEAD, HEAD), Level.OK, "the newest"),
        (judge_revision("9999", HEAD), Level.NOTE, "newer than"),
        (judge_revision("0000", HEAD), Level.PROBLEM, "this version needs"),
        (judge_revision(None, HEAD), Level.PROBLEM, "none, and this version"),
        (judge_tables(["drift"]), Level.PROBLEM, "drift"),
        (judge_setting("OM_WEBHOOK_SECRET", "hidden"), Level.WARNING, "is not a setting"),
        # Each of these calls yields exactly one finding; otherwise, the row would have the wrong length.
        (*judge_secrets(IN_FILE), Level.WARNING, "OM_EVENTS_HEADERS"),
        (*judge_paused([PAUSED, ACTIVE]), Level.WARNING, "destinations resume crm"),
    ],
)
def test_the_level_of_a_finding_depends_on_its_effect_on_events(finding, level, text):
    assert (
        finding.level,
        text in f"{finding.subject} {finding.text} {finding.advice}",
        "hidden" in repr(finding),
    ) == (level, True, False)
    assert bool(finding.advice) is (level in {Level.WARNING, Level.PROBLEM})


@pytest.mark.parametrize(
    ("area", "found", "is_known"),
    [
        ("management", members(2), True),
        ("management", policy(**{"max-length": 1}), True),
        ("management", members(1), False),
        ("management", replace(members(1), subject=f"queue {EVENTS} at http://b:15672"), False),
        ("management", judge_queue(EVENTS, {"state": "down"}), False),
        ("management", judge_queue(DEAD_LETTERS, {"state": "down"}), True),
        *(
            ("edge", found, "majority" not in found.text)
            for found in judge_report("http://u", 200, {"problems": list(_BROKER_PROBLEMS.values())})
        ),
    ],
)
def test_the_counts_of_a_queue_without_a_leader_are_reported_as_unknown(area, found, is_known):
    areas = {"broker": lambda: [queue(EVENTS, 0, 2)], area: lambda: [found]}
    finding, *_ = withdraw_counts(check_areas(areas, 1.0))
    assert (finding.text == "exists, 0 ready, 2 consumers") is is_known
    assert ("unknown" in finding.text, finding.level is Level.WARNING) == (not is_known, not is_known)


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
        [WorkerReport(role, "vm 1", NOW, NOW - timedelta(seconds=age), {}) for role, age in reports],
        NOW,
        ["settle"],
    )
    assert {finding.subject.removesuffix(" workers"): finding.level for finding in found} == levels


@pytest.mark.parametrize(
    ("settings", "enabled", "missing"),
    [
        ({}, "true", []),
        ({"OM_DESTINATIONS": "destinations.toml"}, "true", ["deliver"]),
        ({"OM_DESTINATIONS": "destinations.toml"}, "false", []),
        ({"OM_DESTINATIONS": "missing.toml"}, "true", []),
        ({"OM_GENESYS_REGION": "us-east-1"}, "true", ["reconcile"]),
        ({"OM_GENESYS_API_URL": "http://127.0.0.1"}, "true", ["reconcile"]),
    ],
)
def test_a_role_that_the_settings_demand_and_that_never_started_is_a_warning(
    tmp_path, monkeypatch, settings, enabled, missing
):
    monkeypatch.chdir(tmp_path)
    destination = f'[destinations.crm]\nurl = "https://crm.example/"\nenabled = {enabled}\n'
    destination += 'secret = "whsec_c2VjcmV0"\nevents = ["openmessaging:receipt"]\n'
    (tmp_path / "destinations.toml").write_text(destination)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    report = WorkerReport("settle", "vm 1", NOW, NOW, {})
    found = judge_workers([report], NOW, list_expected(Environment()))
    levels = {finding.subject: (finding.level, finding.advice) for finding in found}
    assert levels == {
        "settle workers": (Level.OK, ""),
        **{
            f"{role} workers": (Level.WARNING, f"Start one with python -m workers {role}.")
            for role in missing
        },
    }


def test_a_dead_om_observe_is_a_warning_on_a_host_that_has_it_even_without_a_canary(tmp_path, monkeypatch):
    environment = SimpleNamespace(string=(CANARY | {"OM_CANARY_URL": ""}).get)
    monkeypatch.setattr(edge, "OBSERVE_UNIT", tmp_path / "om-observe.service")
    assert check_canary(environment).level is Level.NOTE
    edge.OBSERVE_UNIT.touch()
    found = check_canary(environment)
    assert (found.level, found.subject) == (Level.WARNING, "om-observe")
    monkeypatch.setattr(edge.requests, "get", lambda *_, **__: SimpleNamespace(json=dict))
    assert check_canary(environment).level is Level.NOTE


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
def test_the_health_url_is_derived_from_the_edges_bind_address(bind, url):
    assert health_url(bind) == url


def test_an_edges_report_becomes_findings_for_the_edge_each_problem_and_each_process():
    report = {
        "problems": ["the broker is away: events wait in the journal"],
        "processes": [
            {"pid": 7, "journal": {"bytes": 10, "damaged_bytes": 0}},
            {"pid": 8, "journal": {"damaged_bytes": 3}},
        ],
    }
    levels = [finding.level for finding in judge_report("url", 200, report)]
    assert levels == [Level.OK, Level.WARNING, Level.OK, Level.PROBLEM]
    assert next(judge_report("url", 503, {})).level is Level.PROBLEM


RECORD = encode_header(b"properties", b"body") + b"properties" + b"body"


@pytest.mark.parametrize(
    ("is_owned", "content", "entries", "damaged"),
    [
        (False, RECORD + RECORD + RECORD[:-2], 2, len(RECORD) - 2),
        # The incomplete last record of a live process is still being written.
        (True, RECORD + RECORD[:-2], 1, 0),
    ],
)
def test_the_entries_damaged_bytes_and_owner_of_a_journal_are_read_from_disk(
    tmp_path, is_owned, content, entries, damaged
):
    (tmp_path / "00000001.segment").write_bytes(content)
    with (tmp_path / "lock").open("w") as lock:
        if is_owned:
            fcntl.flock(lock, fcntl.LOCK_EX)
        state = read_state(tmp_path)
    assert (state.entries, state.damaged, state.is_owned) == (entries, damaged, is_owned)


def test_files_that_the_edge_skips_or_has_set_aside_are_reported_with_its_journals(tmp_path):
    for name in ("journal/7-a", "journal/without lock", "damaged", "oversized"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("journal/7-a/lock", "journal/file", "damaged/7-00000001.segment", "oversized/1.body"):
        (tmp_path / name).touch()
    (tmp_path / "journal" / "link").symlink_to(tmp_path)
    findings = {finding.subject: finding for finding in check_journals(tmp_path)}
    assert {subject: finding.level for subject, finding in findings.items()} == {
        "7-a": Level.OK,
        "without lock": Level.PROBLEM,
        "file": Level.WARNING,
        "link": Level.WARNING,
        str(tmp_path / "damaged"): Level.WARNING,
        str(tmp_path / "oversized"): Level.PROBLEM,
    }
    assert "no file named lock" in findings["without lock"].text
    assert "a symbolic link" in findings["link"].text
    assert "7-00000001.segment" in findings[str(tmp_path / "damaged")].text


def test_a_file_in_place_of_the_journal_directory_is_reported_but_a_missing_directory_is_not(tmp_path):
    assert [finding.level for finding in check_journals(tmp_path)] == [Level.OK]
    assert [finding.level for finding in check_journals(tmp_path / "mistyped")] == [Level.WARNING]
    (tmp_path / "journal").touch()
    assert [finding.level for finding in check_journals(tmp_path)] == [Level.WARNING]


def test_a_host_is_checked_for_its_installed_role_or_for_both_roles(tmp_path, monkeypatch):
    kept = tmp_path / "installation.toml"
    monkeypatch.setattr(installation_options, "SAVED", kept)
    assert find_roles(None) == (frozenset(Role), [])
    kept.write_text('role = "worker"')
    roles, [note] = find_roles(None)
    assert (roles, note.text.startswith("only worker")) == ({Role.WORKER}, True)
    assert find_roles(BOTH) == (frozenset(Role), [])
    kept.write_text('role = "neither"')
    roles, [note] = find_roles(None)
    assert (roles, note.level, str(kept) in note.advice) == (set(Role), Level.WARNING, True)


def test_the_files_that_settings_name_are_checked_without_showing_their_content(monkeypatch, tmp_path):
    path = tmp_path / "file.toml"
    path.write_text('[destinations.crm]\nsecrets = "hidden"\n')
    for name in ("OM_REGISTRATION", "OM_DESTINATIONS"):
        monkeypatch.setenv(name, str(path))
    advice = {found.subject: found.advice for found in check_settings() if found.level is Level.PROBLEM}
    assert advice["registration"].startswith("OM_REGISTRATION: ")
    assert advice["destinations"].startswith("OM_DESTINATIONS: destinations.crm.secret")
    assert "hidden" not in repr(advice)


WEBHOOK = """\
url = "https://hooks.example.com/webhooks/genesys/openmessaging"
[webhook]
name = "ours"
filters = [{event_type = "openmessaging:conversation:new", filter = ""}]
"""


@pytest.mark.parametrize(("is_allowed", "level"), [("false", Level.PROBLEM), ("true", Level.OK)])
def test_a_webhook_whose_unsigned_events_the_edge_would_refuse_is_a_problem(
    tmp_path, monkeypatch, is_allowed, level
):
    (tmp_path / "registration.toml").write_text(WEBHOOK)
    monkeypatch.setenv("OM_REGISTRATION", str(tmp_path / "registration.toml"))
    monkeypatch.setenv("OM_ALLOW_UNSIGNED", is_allowed)
    [found] = [found for found in check_settings() if found.subject == "registration"]
    assert (found.level, "refuse its events" in found.advice) == (level, level is Level.PROBLEM)


def test_an_area_that_fails_or_hangs_is_reported_in_time_and_does_not_hide_other_areas():
    def refuse():
        raise ConfigurationError("OM_X must be a number")

    areas = {
        "hung": lambda: time.sleep(30) or [],
        "broken": lambda: 1 / 0,
        "refused": refuse,
        "well": lambda: [Finding(Level.OK, "it", "works")],
    }
    begun = time.monotonic()
    findings = {finding.area: finding for finding in check_areas(areas, 0.2)}
    assert time.monotonic() - begun < 5
    assert list(findings) == list(areas)
    assert [finding.level for finding in findings.values()] == [Level.PROBLEM] * 3 + [Level.OK]
    assert findings["refused"].advice == "OM_X must be a number"


def test_problems_are_listed_first_and_a_healthy_area_takes_one_line():
    findings = [
        Finding(Level.OK, "connection", "works", area="broker"),
        Finding(Level.OK, "queue", "exists", area="broker"),
        Finding(Level.NOTE, "drift", "3 unknown names", area="database"),
        Finding(Level.OK, "connection", "works", area="database"),
        Finding(Level.OK, "process 7", "works", area="edge"),
        Finding(Level.PROBLEM, "url", "does not run", "Start it.", area="edge"),
        Finding(Level.WARNING, "7", "old", area="journal"),
    ]
    rows = [(finding.level.value, finding.area, finding.text) for finding in summarise(findings)]
    assert rows == [
        ("problem", "edge", "does not run"),
        ("warning", "journal", "old"),
        ("note", "database", "3 unknown names"),
        ("ok", "broker", "2 checked"),
        ("ok", "database", "1 checked"),
    ]
