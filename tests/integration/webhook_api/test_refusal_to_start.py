"""An edge with a malformed or contradictory setting exits with status 78 and names the setting."""

import logging
import os
import runpy
import subprocess
import sys

import pytest
import structlog

from tests.servers import free_port
from tests.services import GONE, SECRET, Service
from webhook_api.http.worker import REFUSED

EXTENSION = "tests.integration.webhook_api.extension"


@pytest.mark.parametrize(
    "settings",
    [
        {"OM_QUEUE_DEPTH_LOW": "60000"},
        {"OM_WEBHOOK_SECRETS": ""},
        {"OM_REQUIRED_HEADERS": "X-Webhook-Source"},
        {"OM_AMQP_URL": ""},
        {"OM_AMQP_URL": "amqp://user:broker-password[@broker/"},
        {"OM_MANAGEMENT_URL": "http://broker:15672,broker-2:15672"},
        {"OM_MAX_BODY_BYTES": "16777217"},
        {"OM_STATE_DIRECTORY": "/proc/nowhere"},
        {"OM_JOURNAL_MAX_BYTES": "1"},
        {"OM_JOURNAL_MAX_BYTES": "16777216", "OM_EDGE_PROCESSES": "9"},
        {"OM_LOG_LEVEL": "loud"},
        {"OM_EDGE_PROCESSES": "0"},
        {"OM_MAX_CONNECTIONS": "0"},
        {"OM_FLASK_EXTENSIONS": EXTENSION},
        {"OM_FLASK_EXTENSIONS": "tests.integration.nowhere:hook"},
        {"OM_FLASK_EXTENSIONS": f"{EXTENSION}:none"},
    ],
)
def test_the_error_names_the_refused_setting_and_contains_no_secret(tmp_path, monkeypatch, capsys, settings):
    service = Service(tmp_path, "amqp://user:broker-password@127.0.0.1:9/", settings=settings)
    for name in [name for name in os.environ if name.startswith("OM_")]:
        monkeypatch.delenv(name)
    for name, value in service.environment().items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("webhook_api.gunicorn_conf")
    structlog.reset_defaults()
    logging.getLogger().handlers.clear()
    printed = "".join(capsys.readouterr())
    assert ended.value.code == 78
    assert next(iter(settings)) in printed
    assert SECRET not in printed
    assert "broker-password" not in printed


@pytest.mark.parametrize(
    ("settings", "options", "reason"),
    [
        ({"OM_LOG_LEVEL": "loud"}, [], "OM_LOG_LEVEL"),
        ({}, ["--threads=4"], f"gunicorn's threads has no effect: {REFUSED['threads']}"),
    ],
    ids=["ours", "gunicorn's"],
)
def test_gunicorn_exits_with_status_78_if_a_setting_is_refused(tmp_path, settings, options, reason):
    service = Service(tmp_path, GONE, settings={"OM_BIND": f"127.0.0.1:{free_port()}"} | settings)
    ended = subprocess.run(
        [sys.executable, "-m", "gunicorn", "-c", "python:webhook_api.gunicorn_conf", *options],
        env=service.environment(),
        cwd=service.directory,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 78
    assert '"event": "configuration_refused"' in ended.stdout
    assert reason in ended.stdout
