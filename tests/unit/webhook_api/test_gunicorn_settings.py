"""No setting of gunicorn is ignored: each has its effect, or is refused by name."""

import pytest
from gunicorn.config import KNOWN_SETTINGS, Config

from webhook_api.http import gunicorn_settings
from webhook_api.http.gunicorn_settings import BY_CONFIGURATION, BY_GUNICORN, REFUSED, refused_settings


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch):
    for variable in gunicorn_settings.ENVIRONMENT:
        monkeypatch.delenv(variable, raising=False)


def test_every_setting_of_this_release_stands_in_exactly_one_table():
    names = sorted(setting.name for setting in KNOWN_SETTINGS)
    assert sorted([*BY_GUNICORN, *BY_CONFIGURATION, *REFUSED]) == names


def test_a_configuration_that_says_nothing_is_taken():
    assert refused_settings(Config()) == []


@pytest.mark.parametrize("name", REFUSED)
def test_a_setting_without_effect_is_refused_by_name_and_says_what_to_do(name):
    cfg = Config()
    cfg.settings[name].value = "changed"

    assert refused_settings(cfg) == [f"gunicorn's {name} has no effect: {REFUSED[name]}"]


@pytest.mark.parametrize("name", sorted(BY_GUNICORN | BY_CONFIGURATION))
def test_a_setting_that_gunicorn_sees_to_is_taken(name):
    cfg = Config()
    cfg.settings[name].value = "changed"

    assert refused_settings(cfg) == []


def test_a_setting_of_a_release_to_come_is_refused_when_it_is_used(monkeypatch):
    monkeypatch.delitem(REFUSED, "threads")
    cfg = Config()
    assert refused_settings(cfg) == []

    cfg.set("threads", 4)

    assert refused_settings(cfg) == [
        "gunicorn's threads has no effect: this release of gunicorn is not known"
    ]


@pytest.mark.parametrize(("variable", "name"), gunicorn_settings.ENVIRONMENT.items())
def test_a_variable_that_gunicorn_would_take_a_default_from_is_refused(monkeypatch, variable, name):
    monkeypatch.setenv(variable, "*")
    assert refused_settings(Config())[0].startswith(f"gunicorn's {name} ")
