"""A malformed or contradictory setting is refused at start, by name, with exit status 78."""

import subprocess
import sys

import pytest

from tests.servers import free_port
from tests.services import Service

SECRET = "constructed-secret-0123456789"


@pytest.mark.parametrize(
    ("settings", "variable"),
    [
        ({"OM_QUEUE_DEPTH_LOW": "60000"}, "OM_QUEUE_DEPTH_LOW"),
        ({"OM_QUEUE_DEPTH_HIGH": "many"}, "OM_QUEUE_DEPTH_HIGH"),
        ({"OM_WEBHOOK_SECRETS": ""}, "OM_WEBHOOK_SECRETS"),
        ({"OM_ALLOW_UNSIGNED": "true"}, "OM_ALLOW_UNSIGNED"),
        ({"OM_REQUIRED_HEADERS": "X-Webhook-Source"}, "OM_REQUIRED_HEADERS"),
        ({"OM_AMQP_URL": "http://broker"}, "OM_AMQP_URL"),
        ({"OM_AMQP_URL": ""}, "OM_AMQP_URL"),
        ({"OM_AMQP_URL": "amqp://user:broker-password[@broker/"}, "OM_AMQP_URL"),
        ({"OM_MANAGEMENT_URL": "broker:15672"}, "OM_MANAGEMENT_URL"),
        ({"OM_MANAGEMENT_URL": "http://broker:15672,broker-2:15672"}, "OM_MANAGEMENT_URL"),
        ({"OM_PUBLISHER_CONFIRMS": "perhaps"}, "OM_PUBLISHER_CONFIRMS"),
        ({"OM_MAX_BODY_BYTES": "16777217"}, "OM_MAX_BODY_BYTES"),
        ({"OM_STATE_DIRECTORY": "/proc/nowhere"}, "OM_STATE_DIRECTORY"),
        ({"OM_JOURNAL_MAX_BYTES": "1"}, "OM_JOURNAL_MAX_BYTES"),
        ({"OM_JOURNAL_MAX_BYTES": "16777216", "OM_EDGE_PROCESSES": "9"}, "OM_JOURNAL_MAX_BYTES"),
        ({"OM_LOG_LEVEL": "loud"}, "OM_LOG_LEVEL"),
        ({"OM_EDGE_PROCESSES": "0"}, "OM_EDGE_PROCESSES"),
        ({"OM_MAX_CONNECTIONS": "0"}, "OM_MAX_CONNECTIONS"),
        ({"OM_FLASK_EXTENSIONS": "tests.integration.webhook_api.extension"}, "OM_FLASK_EXTENSIONS"),
        ({"OM_FLASK_EXTENSIONS": "tests.integration.nowhere:hook"}, "OM_FLASK_EXTENSIONS"),
        (
            {"OM_FLASK_EXTENSIONS": "tests.integration.webhook_api.extension:NO_FUNCTION"},
            "OM_FLASK_EXTENSIONS",
        ),
        ({"OM_FLASK_EXTENSIONS": "tests.integration.webhook_api.extension:none"}, "OM_FLASK_EXTENSIONS"),
    ],
)
def test_the_variable_is_named_and_no_secret_is(tmp_path, settings, variable):
    service = Service(tmp_path, "amqp://user:broker-password@127.0.0.1:9/", settings=settings)

    ended = subprocess.run(
        [sys.executable, "-m", "gunicorn", "-c", "python:webhook_api.gunicorn_conf"],
        env=service.environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert ended.returncode == 78
    assert variable in ended.stdout
    assert SECRET not in ended.stdout + ended.stderr
    assert "broker-password" not in ended.stdout + ended.stderr


@pytest.mark.parametrize(
    "option",
    ["--threads=4", "--preload", "--access-logfile=-", "--keep-alive=5", "--workers=3", "--max-requests=9"],
)
def test_a_setting_of_gunicorn_that_would_be_ignored_is_refused_by_name(tmp_path, option):
    service = Service(tmp_path, "amqp://127.0.0.1:9/", settings={"OM_BIND": f"127.0.0.1:{free_port()}"})

    ended = subprocess.run(
        [sys.executable, "-m", "gunicorn", "-c", "python:webhook_api.gunicorn_conf", option],
        env=service.environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert ended.returncode == 78
    assert '"event": "configuration_refused"' in ended.stdout
