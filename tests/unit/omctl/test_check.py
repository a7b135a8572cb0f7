"""What omctl check makes of what it sees."""

import fcntl

import pytest

from messaging.admin import BrokerObject, ObjectState
from omctl.check.broker import object_finding
from omctl.check.configuration import check_configuration, setting_finding, shown
from omctl.check.edge import health_url, report_findings
from omctl.check.finding import Level
from omctl.check.host import list_finding, secret_findings
from omctl.check.journal import JournalState, check_journals, journal_finding, read_state
from omctl.check.management import alarm_finding, guest_finding, queue_finding
from omctl.check.proof import check_proof
from omctl.commands.check import roles_of
from omctl.installing import BOTH, Role, kept_options
from webhook_api.journal import record_header

EVENTS = "open-messaging.events"


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
    assert shown(name, value) == text


@pytest.mark.parametrize(
    ("age", "is_enforced", "level"),
    [
        (None, True, Level.WARNING),
        (8 * 86400.0, True, Level.WARNING),
        (3600.0, False, Level.WARNING),
        (3600.0, True, Level.OK),
    ],
)
def test_a_list_of_addresses_that_is_missing_old_or_not_enforced_is_reported(age, is_enforced, level):
    assert list_finding(age, is_enforced=is_enforced).level is level


def test_a_secret_in_the_settings_file_is_reported_without_its_value():
    [finding] = secret_findings({"OM_EVENTS_HEADERS": "X-Api-Key=hidden", "OM_AMQP_URL": " ", "OM_BIND": "x"})

    assert (finding.subject, finding.level) == ("OM_EVENTS_HEADERS", Level.WARNING)
    assert "hidden" not in repr(finding)


@pytest.mark.parametrize(("status", "level"), [(200, Level.WARNING), (401, Level.OK)])
def test_the_first_administrator_of_rabbitmq_is_reported(status, level):
    assert guest_finding(status).level is level


def test_a_misspelt_setting_is_pointed_out_and_its_value_is_not_shown():
    finding = setting_finding("OM_WEBHOOK_SECRET", "hidden")
    assert finding.level is Level.WARNING
    assert "hidden" not in repr(finding)


@pytest.mark.parametrize(
    ("item", "level"),
    [
        (BrokerObject("queue", EVENTS, ObjectState.MISSING), Level.PROBLEM),
        (BrokerObject("queue", EVENTS, ObjectState.DIFFERS, "inequivalent arg"), Level.PROBLEM),
        (BrokerObject("queue", EVENTS, ObjectState.EXISTS, ready=0, consumers=0), Level.WARNING),
        (BrokerObject("queue", EVENTS, ObjectState.EXISTS, ready=9, consumers=2), Level.OK),
        (
            BrokerObject("queue", "open-messaging.dead-letters", ObjectState.EXISTS, ready=1, consumers=0),
            Level.WARNING,
        ),
        (
            BrokerObject("queue", "open-messaging.dead-letters", ObjectState.EXISTS, ready=0, consumers=0),
            Level.OK,
        ),
        (BrokerObject("exchange", "open-messaging", ObjectState.EXISTS), Level.OK),
    ],
)
def test_a_queue_is_judged_by_what_it_means_for_events(item, level):
    assert object_finding(item).level is level


@pytest.mark.parametrize(
    ("report", "level"),
    [
        ({"messages": 3, "effective_policy_definition": {}}, Level.OK),
        ({"messages": 3, "effective_policy_definition": {"delivery-limit": 9}}, Level.OK),
        ({"policy": "p", "effective_policy_definition": {"max-length": 10}}, Level.PROBLEM),
        ({"policy": "p", "effective_policy_definition": {"message-ttl": 10}}, Level.PROBLEM),
        ({"error": "Object Not Found", "reason": "Not Found"}, Level.PROBLEM),
    ],
)
def test_a_policy_that_drops_events_is_a_problem(report, level):
    assert queue_finding(EVENTS, report).level is level


@pytest.mark.parametrize(("online", "level"), [(3, Level.OK), (2, Level.OK), (1, Level.PROBLEM)])
def test_a_queue_without_a_majority_is_a_problem(online, level):
    members = ["a", "b", "c"]
    assert queue_finding(EVENTS, {"members": members, "online": members[:online]}).level is level


@pytest.mark.parametrize(
    ("brokers", "addresses", "has_confirms", "level"),
    [
        (1, 0, False, Level.OK),
        (3, 3, False, Level.OK),
        (3, 1, False, Level.WARNING),
        (3, 0, False, Level.PROBLEM),
        (3, 0, True, Level.OK),
    ],
)
def test_a_cluster_that_nobody_can_ask_for_its_majority_is_a_problem(brokers, addresses, has_confirms, level):
    (found,) = check_proof(brokers, addresses, has_confirms=has_confirms)
    assert found.level is level


def test_an_unknown_depth_is_not_called_zero():
    assert "not known" in queue_finding(EVENTS, {}).text


def test_an_alarm_names_its_node_and_resource():
    report = {"status": "failed", "alarms": [{"node": "rabbit@a", "resource": "disk"}]}
    assert alarm_finding(report).text == "disk on rabbit@a"
    assert alarm_finding(report).level is Level.PROBLEM
    assert alarm_finding({"status": "ok"}).level is Level.OK


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
def test_the_edge_is_asked_where_it_listens(bind, url):
    assert health_url(bind) == url


def test_an_edge_is_reported_as_a_whole_by_its_problems_and_by_process():
    report = {
        "problems": ["the broker is away: events wait in the journal"],
        "processes": [
            {"pid": 7, "journal": {"bytes": 10, "damaged_bytes": 0}},
            {"pid": 8, "journal": {"damaged_bytes": 3}},
        ],
    }
    levels = [finding.level for finding in report_findings("url", 200, report)]
    assert levels == [Level.OK, Level.WARNING, Level.OK, Level.PROBLEM]
    assert report_findings("url", 503, {})[0].level is Level.PROBLEM


@pytest.mark.parametrize(
    ("state", "level"),
    [
        (JournalState("a", is_owned=True, entries=0, size=0, damaged=0, oldest_age=0), Level.OK),
        (JournalState("a", is_owned=True, entries=9, size=9, damaged=0, oldest_age=5), Level.OK),
        (JournalState("a", is_owned=True, entries=9, size=9, damaged=0, oldest_age=500), Level.WARNING),
        (JournalState("a", is_owned=False, entries=9, size=9, damaged=0, oldest_age=5), Level.PROBLEM),
        (JournalState("a", is_owned=False, entries=0, size=0, damaged=0, oldest_age=0), Level.OK),
        (JournalState("a", is_owned=True, entries=9, size=9, damaged=4, oldest_age=5), Level.PROBLEM),
    ],
)
def test_a_journal_is_judged_by_its_owner_its_age_and_its_damage(state, level):
    assert journal_finding(state).level is level


def test_a_journal_on_disk_is_counted_with_its_damage_and_its_owner(tmp_path):
    record = record_header(b"properties", b"body") + b"properties" + b"body"
    (tmp_path / "00000001.segment").write_bytes(record + record + record[:-2])
    lock = (tmp_path / "lock").open("w")
    state = read_state(tmp_path)
    assert (state.entries, state.damaged, state.is_owned) == (2, len(record) - 2, False)
    lock.close()


def test_a_record_on_its_way_into_a_living_journal_is_no_damage(tmp_path):
    record = record_header(b"properties", b"body") + b"properties" + b"body"
    (tmp_path / "00000001.segment").write_bytes(record + record[:-2])
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        state = read_state(tmp_path)
    assert (state.entries, state.damaged, state.is_owned) == (1, 0, True)


def test_files_put_aside_are_told(tmp_path):
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "7-00000001.segment").touch()
    (finding,) = [each for each in check_journals(tmp_path / "journal") if each.level is Level.WARNING]
    assert "7-00000001.segment" in finding.text


@pytest.mark.parametrize(
    ("put", "level", "told"),
    [
        (lambda home: (home / "thing").touch(), Level.WARNING, "no directory"),
        (lambda home: (home / "thing").symlink_to(home), Level.WARNING, "a symbolic link"),
        (lambda home: (home / "thing").mkdir(), Level.PROBLEM, "no file named lock"),
    ],
)
def test_what_the_edge_skips_is_told_and_the_rest_is_looked_at(tmp_path, put, level, told):
    home = tmp_path / "journal"
    (home / "7-a").mkdir(parents=True)
    (home / "7-a" / "lock").touch()
    put(home)
    findings = {finding.subject: finding for finding in check_journals(home)}
    assert findings["thing"].level is level
    assert told in findings["thing"].text
    assert findings["7-a"].level is Level.OK


def test_a_home_that_is_a_file_is_told(tmp_path):
    (tmp_path / "journal").touch()
    (finding,) = check_journals(tmp_path / "journal")
    assert finding.level is Level.WARNING


def test_a_file_of_registrations_that_cannot_be_read_is_a_problem(tmp_path, monkeypatch):
    path = tmp_path / "registration.toml"
    path.write_text("url = 7")
    monkeypatch.setenv("OM_REGISTRATION", str(path))
    findings = {each.subject: each for each in check_configuration({})}
    assert findings["registration"].level is Level.PROBLEM
    assert "OM_REGISTRATION: url" in findings["registration"].advice


def test_what_a_host_does_is_what_it_was_installed_for(tmp_path, monkeypatch):
    kept = tmp_path / "installation.toml"
    monkeypatch.setattr(kept_options, "KEPT", kept)
    assert roles_of(None) == (frozenset(Role), [])
    kept.write_text('role = "worker"')
    roles, [told] = roles_of(None)
    assert roles == {Role.WORKER}
    assert told.text.startswith("worker alone")
    assert roles_of(BOTH) == (frozenset(Role), [])


def test_where_the_installation_cannot_be_read_everything_is_looked_at(tmp_path, monkeypatch):
    kept = tmp_path / "installation.toml"
    kept.write_text('role = "neither"')
    monkeypatch.setattr(kept_options, "KEPT", kept)
    roles, [told] = roles_of(None)
    assert roles == set(Role)
    assert told.level is Level.WARNING
    assert str(kept) in told.advice
