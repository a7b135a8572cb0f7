"""Settings are read with their types from three sources; a malformed value is refused and not printed."""

import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from messaging.environment import Environment, parse_settings
from messaging.errors import ConfigurationError
from messaging.settings import unknown_settings, warn_of_unknown_settings

NAME = "OM_SOMETHING"
SECRET = "not-to-be-repeated"


@pytest.mark.parametrize(
    "variables", [{}, {NAME: "  "}, {"CREDENTIALS_DIRECTORY": "/nowhere"}, {"CREDENTIALS_DIRECTORY": ""}]
)
def test_a_missing_or_blank_variable_has_its_default(monkeypatch, variables):
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    assert Environment().integer(NAME, 7) == 7
    assert Environment().string(NAME, "x") == "x"
    assert Environment().boolean(NAME, default=True) is True


@pytest.mark.parametrize(("text", "value"), [(None, 12), ("3", 3)])
def test_a_variable_overrides_the_file_that_contains_its_value(monkeypatch, tmp_path, text, value):
    (tmp_path / "value").write_text("12\n")
    monkeypatch.setenv(f"{NAME}_FILE", str(tmp_path / "value"))
    if text:
        monkeypatch.setenv(NAME, text)
    assert Environment().integer(NAME, 7) == value


def test_a_value_is_read_from_a_systemd_credential(monkeypatch, tmp_path):
    (tmp_path / NAME).write_text("a, b\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert Environment().strings(NAME) == ("a", "b")


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("YES", True), ("on", True), ("1", True), ("False", False), ("0", False)],
)
def test_a_boolean_may_be_spelled_in_several_ways(monkeypatch, text, value):
    monkeypatch.setenv(NAME, text)
    assert Environment().boolean(NAME, default=not value) is value


def _write_no_text(file):
    file.write_bytes(SECRET.encode() + b"\xff")


@pytest.mark.parametrize(
    ("source", "spoil"),
    [
        (f"{NAME}_FILE", _write_no_text),
        (f"{NAME}_FILE", Path.mkdir),
        (f"{NAME}_FILE", lambda _file: None),
        ("CREDENTIALS_DIRECTORY", _write_no_text),
        ("CREDENTIALS_DIRECTORY", Path.mkdir),
    ],
)
def test_the_error_for_an_unreadable_or_missing_file_names_the_variable(monkeypatch, tmp_path, source, spoil):
    spoil(tmp_path / NAME)
    monkeypatch.setenv(source, str(tmp_path / NAME if source.endswith("_FILE") else tmp_path))
    with pytest.raises(ConfigurationError, match=source if source.endswith("_FILE") else NAME) as refusal:
        Environment().string(NAME)
    assert SECRET not in str(refusal.value)
    assert refusal.value.__suppress_context__


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (lambda env: env.integer(NAME, 1), SECRET),
        (lambda env: env.boolean(NAME, default=True), SECRET),
        (lambda env: env.one_of(NAME, "a", choices=("a", "b")), SECRET),
        *((lambda env: env.seconds(NAME, 1.0), text) for text in (SECRET, "-1", "nan", "inf", "1e400")),
    ],
)
def test_the_error_for_a_malformed_value_names_the_variable_but_not_the_value(monkeypatch, read, text):
    monkeypatch.setenv(NAME, text)
    with pytest.raises(ConfigurationError, match=NAME) as refusal:
        read(Environment())
    assert text not in str(refusal.value)
    assert refusal.value.__cause__ is None


@pytest.fixture
def file(tmp_path, monkeypatch):
    path = tmp_path / "environment"
    monkeypatch.setenv("OM_SETTINGS_FILE", str(path))
    monkeypatch.setenv("OM_LOG_LEVEL", "error")
    return path


def test_the_settings_file_overrides_the_environment_and_is_read_each_time(file):
    file.write_text("OM_LOG_LEVEL=debug\n")
    assert Environment().string("OM_LOG_LEVEL") == "debug"
    file.write_text("OM_LOG_LEVEL=warning\n")
    assert Environment().string("OM_LOG_LEVEL") == "warning"
    file.write_text("#OM_LOG_LEVEL=info\n")
    assert Environment().string("OM_LOG_LEVEL") == "error"


def test_the_settings_file_can_name_the_file_of_a_secret(file, tmp_path):
    (tmp_path / "secret").write_text("hidden\n")
    file.write_text(f"OM_WEBHOOK_SECRETS_FILE={tmp_path / 'secret'}\n")
    assert Environment().strings("OM_WEBHOOK_SECRETS") == ("hidden",)


def test_the_settings_file_has_the_syntax_of_systemd():
    text = '# OM_A=1\n; OM_B=2\n\n OM_C = a=b \nOM_D="two words"\nOM_E=\nPATH=/bin\nOM_F=\'\n'
    assert parse_settings(text) == {"OM_C": "a=b", "OM_D": "two words", "OM_E": "", "OM_F": "'"}


@pytest.mark.parametrize("text", [None, "OM_A=1\nno setting\n"])
def test_an_unreadable_settings_file_is_refused_without_printing_it(file, text):
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigurationError, match="OM_SETTINGS_FILE") as refusal:
        Environment()
    assert "no setting" not in str(refusal.value)


@pytest.mark.parametrize("name", ["OM_BATCH_EVENTS", "OM_WEBHOOK_SECRETS_FILE", "PATH", "OMELETTE"])
def test_known_settings_and_foreign_variables_are_accepted(name):
    assert unknown_settings([name]) == {}


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("OM_BATCH_EVENT", "OM_BATCH_EVENTS"),
        ("OM_WEBHOOK_SECRET_FILE", "OM_WEBHOOK_SECRETS"),
        ("OM_TEAPOT", ""),
    ],
)
def test_an_unknown_setting_is_reported_with_the_closest_known_setting(name, meant):
    advice = unknown_settings([name])[name]
    assert advice.endswith(f"Did you mean {meant}?" if meant else "is ignored.")


def test_unknown_settings_are_logged_at_start_without_their_values(monkeypatch):
    for name in [name for name in os.environ if name.startswith("OM_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OM_WEBHOOK_SECRET", "hidden")
    with capture_logs() as lines:
        warn_of_unknown_settings()
    assert [line["event"] for line in lines] == ["setting_unknown"]
    assert "hidden" not in str(lines)
