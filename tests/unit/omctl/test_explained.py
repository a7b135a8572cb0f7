"""omctl check --settings: every setting with its value, its source and its explanation."""

import json

import pytest
from click.testing import CliRunner

from messaging.setting_names import KNOWN
from omctl.check.explanation import explained, source_of
from omctl.commands.check import check

SECRET = "constructed-secret-0123456789"


@pytest.fixture
def settings(monkeypatch, tmp_path):
    for name in KNOWN:
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
    return {each.name: each for each in explained()}


def test_every_setting_is_explained_and_says_what_takes_it_up(settings):
    assert set(settings) == KNOWN
    assert all(len(each.text) > 20 and each.taken_up for each in settings.values())


def test_a_value_is_told_with_its_source_and_a_secret_is_not_told(settings, tmp_path):
    found = {name: (each.value, each.source) for name, each in settings.items()}

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


def test_what_the_master_began_with_needs_a_restart_and_the_watermarks_a_reload(settings):
    assert settings["OM_BIND"].taken_up == "restart"
    assert settings["OM_QUEUE_DEPTH_HIGH"].taken_up == "reload"
    assert settings["OM_LOG_LEVEL"].taken_up == "reload"
    assert settings["OM_BATCH_EVENTS"].taken_up == "restart"


def test_a_variable_that_is_blank_leaves_the_default():
    assert source_of("OM_BIND", {"OM_BIND": " "}) == "default"


def test_the_command_looks_at_nothing_else(settings):
    result = CliRunner().invoke(check, ["--settings", "--json"], catch_exceptions=False)

    names = [each["name"] for each in json.loads(result.output)["settings"]]
    assert result.exit_code == 0
    assert set(names) == KNOWN


def test_people_get_a_table_without_secrets(settings):
    result = CliRunner().invoke(check, ["--settings"], catch_exceptions=False)

    assert "OM_BATCH_EVENTS" in result.output
    assert SECRET not in result.output
