"""gunicorn settings without effect are refused, and the edge's master imports all modules before it forks."""

import os
import subprocess
import sys

import pytest
from gunicorn.config import Config

from webhook_api.http.worker import REFUSED, LoopWorker

LATER = """
import sys, threading
import webhook_api.gunicorn_conf as configuration
before = set(sys.modules)
import webhook_api.http
from webhook_api.gunicorn_conf import make_service
print(sorted(set(sys.modules) - before), threading.active_count())
"""


def test_an_edge_process_imports_nothing_after_the_fork(tmp_path):
    settings = {
        "OM_WEBHOOK_SECRETS": "constructed-secret-0123456789",
        "OM_STATE_DIRECTORY": str(tmp_path),
        "OM_AMQP_URL": "amqp://guest:guest@127.0.0.1:9/",
        "OM_MANAGEMENT_URL": "http://guest:guest@127.0.0.1:9",
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OM_")}
    command = [sys.executable, "-c", LATER]
    done = subprocess.run(command, env=inherited | settings, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "1"]


def test_the_default_configuration_is_accepted(capsys):
    LoopWorker.check_config(Config(), None)
    assert not capsys.readouterr().out


@pytest.mark.parametrize("name", REFUSED)
def test_a_gunicorn_setting_without_effect_is_refused_with_its_name_and_advice(name, capsys):
    cfg = Config()
    cfg.settings[name].value = "changed"
    with pytest.raises(SystemExit) as ended:
        LoopWorker.check_config(cfg, None)
    assert ended.value.code == 78
    assert f"gunicorn's {name} has no effect: {REFUSED[name]}" in capsys.readouterr().out
