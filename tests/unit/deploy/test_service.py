"""A local service adds missing settings, runs the roles that have settings, and shows no password."""

import os
import shlex
import stat
import subprocess
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from deploy.local.brokers import BrokerAddress
from deploy.local.demonstration import OWN_SETTINGS
from deploy.local.running import query_command
from deploy.local.service import LocalService, environment_file, missing_settings
from messaging.settings import known_settings
from workers.db.migrations import schema

BROKER = BrokerAddress("amqp://user:word@host", "http://user:word@host:15672", "a broker")


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch):
    for name in [name for name in os.environ if name.startswith("OM_")]:
        monkeypatch.delenv(name)


def test_a_brokers_password_is_not_shown():
    assert "word" not in repr(BROKER)
    assert BROKER.management_page == "http://host:15672"


def test_the_demonstration_ignores_every_setting_that_could_make_it_use_other_data():
    assert set(OWN_SETTINGS) <= known_settings()
    assert "OM_SETTINGS_FILE" in OWN_SETTINGS


def test_the_secret_is_created_once_and_only_its_owner_can_read_it(tmp_path):
    path = Path(missing_settings(tmp_path)["OM_WEBHOOK_SECRETS_FILE"])
    secret = path.read_text()
    assert len(secret) >= 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert missing_settings(tmp_path)["OM_WEBHOOK_SECRETS_FILE"] == str(path)
    assert path.read_text() == secret


def test_only_settings_that_the_environment_lacks_are_added(monkeypatch, tmp_path):
    monkeypatch.setenv("OM_DATABASE_URL", "postgresql://elsewhere")
    monkeypatch.setenv("OM_WEBHOOK_SECRETS_FILE", "/run/secret")
    assert set(missing_settings(tmp_path)) == {
        "OM_STATE_DIRECTORY",
        "OM_EDGE_PROCESSES",
        "OM_SCALE_FLOOR",
        "OM_STORE_TYPING",
        "OM_LOG_LEVEL",
        "OM_METRICS_BIND",
    }
    # A maximum number of workers might be lower than the minimum.
    monkeypatch.setenv("OM_SCALE_CEILING", "1")
    assert "OM_SCALE_FLOOR" not in missing_settings(tmp_path)


@pytest.mark.parametrize(
    ("bind", "url"),
    [
        ("127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("0.0.0.0:81", "http://127.0.0.1:81"),
        ("[::]:81", "http://127.0.0.1:81"),
        (":81", "http://127.0.0.1:81"),
    ],
)
def test_the_url_of_a_service_that_listens_on_all_addresses_uses_loopback(tmp_path, bind, url):
    assert LocalService(tmp_path, bind, BROKER).url == url


@pytest.mark.parametrize(
    ("management_url", "settings", "roles"),
    [
        ("http://host", (), {"settle", "observe", "scale"}),
        ("", (), {"settle", "observe", "intake-1", "intake-2"}),
        ("http://host", ("OM_DESTINATIONS",), {"settle", "observe", "scale", "deliver"}),
        ("http://host", ("OM_GENESYS_REGION",), {"settle", "observe", "scale", "reconcile"}),
        ("http://host", ("OM_GENESYS_API_URL",), {"settle", "observe", "scale", "reconcile"}),
    ],
)
def test_a_role_runs_if_its_settings_are_set(monkeypatch, tmp_path, management_url, settings, roles):
    for name in settings:
        monkeypatch.setenv(name, "set")
    service = LocalService(tmp_path, "127.0.0.1:80", BrokerAddress("amqp://host", management_url, "a broker"))
    assert service.commands().keys() == {"edge"} | roles


def test_another_shell_can_read_the_settings_while_the_service_runs(monkeypatch, tmp_path):
    monkeypatch.setenv("OM_WEBHOOK_SECRETS", "it's $HOME; a secret")
    path = tmp_path / "environment"
    with environment_file(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        line = f'. {path} && printf %s "$OM_WEBHOOK_SECRETS" && command -v omctl'
        taken = subprocess.check_output(["sh", "-c", line], env={"PATH": os.defpath}, text=True)
    assert taken.startswith("it's $HOME; a secret/")
    assert not path.exists()


def test_the_query_command_for_sqlite_runs_in_a_shell(tmp_path):
    url = f"sqlite:///{tmp_path / 'it is here.sqlite3'}"
    schema.upgrade(url)
    subprocess.run(["sh", "-c", query_command(make_url(url))], check=True)


def test_the_query_command_for_postgresql_has_no_password():
    line = query_command(make_url("postgresql+psycopg://om:hidden@db:5433/events"))
    assert shlex.split(line)[:2] == ["psql", "postgresql://om@db:5433/events"]
    assert "hidden" not in line
