"""At a reload the edge takes up what it can, says what has to wait, and refuses what no start would take."""

import pytest
from structlog.testing import capture_logs

from webhook_api.settings import EdgeSettings, ReloadableSettings


@pytest.fixture
def reloadable(tmp_path, monkeypatch):
    # What it configures would write past what a test captures.
    monkeypatch.setattr("webhook_api.settings.configure_logging", lambda *_, **__: None)
    monkeypatch.setenv("OM_WEBHOOK_SECRETS", "constructed-secret-0123456789")
    monkeypatch.setenv("OM_AMQP_URL", "amqp://127.0.0.1:9/")
    monkeypatch.setenv("OM_STATE_DIRECTORY", str(tmp_path))
    return ReloadableSettings(EdgeSettings.from_environment())


def test_another_secret_and_another_watermark_are_taken_up_and_another_address_waits(reloadable, monkeypatch):
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
def test_a_malformed_setting_is_refused_without_its_value_and_changes_nothing(
    reloadable, monkeypatch, name, value
):
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
