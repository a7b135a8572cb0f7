"""A setting of gunicorn that an operator would rely on has its effect, or is refused by name."""

import pytest
from gunicorn.config import Config

from webhook_api.http.worker import REFUSED, LoopWorker


def test_a_configuration_that_sets_nothing_is_accepted(capsys):
    LoopWorker.check_config(Config(), None)
    assert not capsys.readouterr().out


@pytest.mark.parametrize("name", REFUSED)
def test_a_setting_without_effect_is_refused_by_name_with_advice(name, capsys):
    cfg = Config()
    cfg.settings[name].value = "changed"

    with pytest.raises(SystemExit) as ended:
        LoopWorker.check_config(cfg, None)

    assert ended.value.code == 78
    assert f"gunicorn's {name} has no effect: {REFUSED[name]}" in capsys.readouterr().out
