"""The settings file goes before the environment, and is read again whenever settings are."""

import pytest

from messaging.environment import Environment, parse_settings
from messaging.errors import ConfigurationError


@pytest.fixture
def file(tmp_path, monkeypatch):
    path = tmp_path / "environment"
    monkeypatch.setenv("OM_SETTINGS_FILE", str(path))
    monkeypatch.setenv("OM_LOG_LEVEL", "error")
    return path


def test_a_value_of_the_file_goes_before_the_environment_s_and_changes_with_it(file):
    file.write_text("OM_LOG_LEVEL=debug\n")
    assert Environment().string("OM_LOG_LEVEL") == "debug"
    file.write_text("OM_LOG_LEVEL=warning\n")
    assert Environment().string("OM_LOG_LEVEL") == "warning"
    file.write_text("#OM_LOG_LEVEL=info\n")
    assert Environment().string("OM_LOG_LEVEL") == "error"


def test_the_file_may_name_the_file_of_a_secret(file, tmp_path):
    (tmp_path / "secret").write_text("hidden\n")
    file.write_text(f"OM_WEBHOOK_SECRETS_FILE={tmp_path / 'secret'}\n")
    assert Environment().strings("OM_WEBHOOK_SECRETS") == ("hidden",)


def test_lines_are_read_as_systemd_reads_them():
    text = '# OM_A=1\n; OM_B=2\n\n OM_C = a=b \nOM_D="two words"\nOM_E=\nPATH=/bin\nOM_F=\'\n'
    assert parse_settings(text) == {"OM_C": "a=b", "OM_D": "two words", "OM_E": "", "OM_F": "'"}


@pytest.mark.parametrize("text", [None, "OM_A=1\nno setting\n"])
def test_a_file_that_cannot_be_read_is_refused_without_its_words(file, text):
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigurationError, match="OM_SETTINGS_FILE") as refusal:
        Environment()
    assert "no setting" not in str(refusal.value)
