"""omctl check --settings shows each setting with its value, source and explanation, without secrets."""

import json
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from messaging.settings import known_settings
from omctl.look.check import check
from omctl.look.settings import HIDDEN, show_value

SECRET = "constructed-secret-0123456789"


@pytest.fixture
def settings(monkeypatch, tmp_path):
    for name in known_settings():
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "OM_DATABASE_URL").write_text("postgresql://u:hidden@db/om")
    (tmp_path / "settings").write_text("OM_HANDLER_ATTEMPTS=5\nOM_BATCH_SECONDS=\nOM_BIND=127.0.0.1:9000\n")
    (tmp_path / "secrets").write_text(f"{SECRET},older-{SECRET}")
    variables = {
        "OM_BATCH_EVENTS": "250",
        "OM_BIND": "127.0.0.1:9000",
        "OM_WEBHOOK_SECRETS_FILE": str(tmp_path / "secrets"),
        "OM_SETTINGS_FILE": str(tmp_path / "settings"),
        "CREDENTIALS_DIRECTORY": str(tmp_path),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    result = CliRunner().invoke(check, ["--settings", "--json"], catch_exceptions=False)
    assert result.exit_code == 0
    return {setting["name"]: SimpleNamespace(**setting) for setting in json.loads(result.output)["settings"]}


def test_every_setting_is_explained_with_the_way_to_apply_a_new_value(settings):
    assert set(settings) == known_settings()
    assert all(len(setting.text) > 20 for setting in settings.values())
    applied_by = {name: setting.applied_by for name, setting in settings.items()}
    assert all(applied_by.values())
    assert (applied_by["OM_BIND"], applied_by["OM_BATCH_EVENTS"]) == ("restart", "restart")
    assert (applied_by["OM_QUEUE_DEPTH_HIGH"], applied_by["OM_LOG_LEVEL"]) == ("reload", "reload")


def test_a_value_is_shown_with_its_source_and_a_secret_is_hidden(settings, tmp_path):
    found = {name: (setting.value, setting.source) for name, setting in settings.items()}
    assert found["OM_BATCH_EVENTS"] == ("250", "environment")
    assert found["OM_WEBHOOK_SECRETS"] == ("set, 2 values", f"file {tmp_path / 'secrets'}")
    assert found["OM_DATABASE_URL"] == ("postgresql://db/om", "credential")
    assert found["OM_HANDLER_ATTEMPTS"] == ("5", "settings file")
    assert found["OM_BIND"] == ("127.0.0.1:9000", "settings file")
    assert found["OM_GENESYS_API_URL"] == ("the region's", "default")
    assert found["OM_BATCH_SECONDS"] == ("0.02", "default")
    assert found["OM_EDGE_PROCESSES"] == ("one for each CPU", "default")
    assert found["OM_MANAGEMENT_URL"] == ("none", "default")
    assert SECRET not in repr(settings)
    assert "hidden" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("OM_REQUIRED_HEADERS", "X-Webhook-Source=genesys-cloud", "set, 1 value"),
        ("OM_EVENTS_HEADERS", "X-Api-Key=hidden", "set, 1 value"),
        ("OM_AMQP_URL", "amqp://u:hidden@a:5672/v,amqp://u:hidden@b/v", "amqp://a:5672/v, amqp://b/v"),
        ("OM_AMQP_URL", "amqp://u:Kq7,Wx9@a/v", HIDDEN),
        ("OM_DATABASE_URL", "postgresql://u:hid@den@db/om", "postgresql://db/om"),
        ("OM_DATABASE_URL", "postgresql://u:p@db:5432/om?sslmode=verify-full", "postgresql://db:5432/om"),
        ("OM_DATABASE_URL", "postgresql://db/om?user=u&password=a@b", HIDDEN),
        ("OM_DATABASE_URL", "sqlite:////var/lib/om.sqlite3", "sqlite:////var/lib/om.sqlite3"),
        ("OM_DATABASE_URL", "no URL", HIDDEN),
        ("OM_DATABASE_URL", "user:hidden://db/om", HIDDEN),
        ("OM_CANARY_URL", "https://u:hidden@hooks.example.com/w", "https://hooks.example.com/w"),
        ("OM_MANAGEMENT_URL", "hidden", HIDDEN),
        ("OM_WEBHOOK_SECRETS_FILE", "/run/secret", "read from /run/secret"),
        ("OM_BATCH_EVENTS", "100", "100"),
    ],
)
def test_a_setting_is_shown_without_its_secret(name, value, text):
    assert show_value(name, value) == text
