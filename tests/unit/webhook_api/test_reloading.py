"""A reload applies new settings, and logs settings that need a restart."""

from structlog.testing import capture_logs

from webhook_api.settings import EdgeSettings, ReloadableSettings


def test_a_reload_applies_new_settings_or_reports_that_a_restart_is_needed(tmp_path, monkeypatch):
    # With the real function, log lines would bypass capture_logs.
    monkeypatch.setattr("webhook_api.settings.configure_logging", lambda *_, **__: None)
    monkeypatch.setenv("OM_WEBHOOK_SECRETS", "constructed-secret-0123456789")
    monkeypatch.setenv("OM_AMQP_URL", "amqp://127.0.0.1:9/")
    monkeypatch.setenv("OM_STATE_DIRECTORY", str(tmp_path))
    reloadable = ReloadableSettings(EdgeSettings.from_environment())
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
