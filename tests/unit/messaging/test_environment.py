"""Settings come typed from three places, and what is malformed is refused by name, never by value."""

from pathlib import Path

import pytest

from messaging.environment import Environment
from messaging.errors import ConfigurationError

NAME = "OM_SOMETHING"
SECRET = "not-to-be-repeated"


def test_a_variable_that_is_not_set_has_its_default():
    assert Environment().integer(NAME, 7) == 7
    assert Environment().string(NAME, "x") == "x"
    assert Environment().boolean(NAME, default=True) is True


def test_a_blank_variable_counts_as_not_set(monkeypatch):
    monkeypatch.setenv(NAME, "  ")

    assert Environment().integer(NAME, 7) == 7


def test_a_value_may_stand_in_a_file(monkeypatch, tmp_path):
    (tmp_path / "value").write_text("12\n")
    monkeypatch.setenv(f"{NAME}_FILE", str(tmp_path / "value"))

    assert Environment().integer(NAME, 7) == 12


def test_a_value_may_stand_in_a_systemd_credential(monkeypatch, tmp_path):
    (tmp_path / NAME).write_text("a, b\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))

    assert Environment().strings(NAME) == ("a", "b")


def test_the_variable_itself_wins_over_its_file(monkeypatch, tmp_path):
    (tmp_path / "value").write_text("12")
    monkeypatch.setenv(f"{NAME}_FILE", str(tmp_path / "value"))
    monkeypatch.setenv(NAME, "3")

    assert Environment().integer(NAME, 7) == 3


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("YES", True), ("on", True), ("1", True), ("False", False), ("0", False)],
)
def test_a_truth_value_is_written_as_people_write_it(monkeypatch, text, value):
    monkeypatch.setenv(NAME, text)

    assert Environment().boolean(NAME, default=not value) is value


def test_a_file_that_cannot_be_read_is_refused_by_name(monkeypatch, tmp_path):
    monkeypatch.setenv(f"{NAME}_FILE", str(tmp_path / "missing"))

    with pytest.raises(ConfigurationError, match=f"{NAME}_FILE"):
        Environment().string(NAME)


@pytest.mark.parametrize("spoil", [lambda file: file.write_bytes(SECRET.encode() + b"\xff"), Path.mkdir])
def test_a_credential_that_cannot_be_read_is_refused_by_name(monkeypatch, tmp_path, spoil):
    spoil(tmp_path / NAME)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))

    with pytest.raises(ConfigurationError, match=NAME) as refusal:
        Environment().string(NAME)

    assert SECRET not in str(refusal.value)
    assert refusal.value.__suppress_context__


@pytest.mark.parametrize("directory", ["", "missing"])
def test_a_credential_that_is_not_there_counts_as_not_set(monkeypatch, tmp_path, directory):
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / directory))

    assert Environment().string(NAME, "x") == "x"


@pytest.mark.parametrize(
    "read",
    [
        lambda env: env.integer(NAME, 1),
        lambda env: env.seconds(NAME, 1.0),
        lambda env: env.boolean(NAME, default=True),
        lambda env: env.one_of(NAME, "a", choices=("a", "b")),
    ],
)
def test_a_malformed_value_is_named_and_not_repeated(monkeypatch, read):
    monkeypatch.setenv(NAME, SECRET)

    with pytest.raises(ConfigurationError, match=NAME) as refusal:
        read(Environment())

    assert SECRET not in str(refusal.value)
    assert refusal.value.__cause__ is None


@pytest.mark.parametrize("value", ["-1", "nan", "inf", "1e400"])
def test_seconds_are_finite_and_not_negative(monkeypatch, value):
    monkeypatch.setenv(NAME, value)

    with pytest.raises(ConfigurationError, match=NAME):
        Environment().seconds(NAME, 1.0)
