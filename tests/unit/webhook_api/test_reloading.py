"""A reload applies new settings, logs settings that need a restart, and refuses malformed settings."""

import pytest
from structlog.testing import capture_logs

from webhook_api.settings import EdgeSettings, ReloadableSettings


@pytest.fixture
def reloadable(tmp_path, monkeypatch):
    # With the real function, log lines would bypass capture_logs.
    monkeypatch.setattr("webhook_api.settings.configure_logging", lambda *_, **__: None)
    monkeypatch.setenv("OM_WEBHOOK_SECRETS", "constructed-secret-0123456789")
    monkeypatch.setenv("OM_AMQP_URL", "amqp://127.0.0.1:9/")
    monkeypatch.setenv("OM_STATE_DIRECTORY", str(tmp_path))
    return ReloadableSettings(EdgeSettings.from_environment())


def test_a_reload_applies_new_settings_or_reports_that_a_restart_is_needed(reloadable, monkeypatch):
    bind = reloadable.settings.bind
    monkeypatch.setenv("OM_WEBHOOK_SECRETS", "another-secret-0123456789,constructed-secret-0123456789")
    monkeypatch.setenv("OM_QUEUE_DEPTH_HIGH", "777777")
    monkeypatch.setenv("OM_BIND", "127.0.0.1:1")
    with capture_logs() as lines:
        reloadable.reload()
    assert reloadable.settings.secrets == (b"another-secret-0123456789", b"constructed-secret-0123456789")
    assert reloadable.settings.queue_depth_high == 777777
    assert reloadable.settings.bind == bind
    assert lines[-1]["restart_needed_for"] == ["OM_BIND"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("OM_QUEUE_DEPTH_HIGH", "many"), ("OM_AMQP_URL", "amqp://user:constructed[secret@127.0.0.1:9/")],
)
def test_a_reload_refuses_a_malformed_setting_without_logging_it(reloadable, monkeypatch, name, value):
    before = reloadable.settings
    monkeypatch.setenv("OM_WEBHOOK_SECRETS", "another-secret-0123456789")
    monkeypatch.setenv(name, value)
    with capture_logs() as lines:
        reloadable.reload()
    assert reloadable.settings is before
    [line] = lines
    assert line["event"] == "reload_refused"
    assert name in line["reason"]
    assert value not in line["reason"]
    assert "constructed" not in line["reason"]
