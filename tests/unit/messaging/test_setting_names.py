"""A variable that nothing reads is pointed out by name, and its value is not looked at."""

import os

import pytest
from structlog.testing import capture_logs

from messaging.settings import unknown_settings, warn_of_unknown_settings


@pytest.mark.parametrize("name", ["OM_BATCH_EVENTS", "OM_WEBHOOK_SECRETS_FILE", "PATH", "OMELETTE"])
def test_what_is_a_setting_or_none_of_ours_is_left_alone(name):
    assert unknown_settings([name]) == {}


@pytest.mark.parametrize(
    ("name", "meant"),
    [("OM_BATCH_EVENT", "OM_BATCH_EVENTS"), ("OM_WEBHOOK_SECRET_FILE", "OM_WEBHOOK_SECRETS")],
)
def test_a_misspelt_setting_is_told_with_what_may_have_been_meant(name, meant):
    assert f"Did you mean {meant}?" in unknown_settings([name])[name]


def test_what_resembles_no_setting_is_told_without_a_guess():
    assert "Did you mean" not in unknown_settings(["OM_TEAPOT"])["OM_TEAPOT"]


def test_a_process_says_so_at_its_start_without_the_value(monkeypatch):
    for name in [name for name in os.environ if name.startswith("OM_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OM_WEBHOOK_SECRET", "hidden")
    with capture_logs() as lines:
        warn_of_unknown_settings()
    assert [line["event"] for line in lines] == ["setting_unknown"]
    assert "hidden" not in str(lines)
