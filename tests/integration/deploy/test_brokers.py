"""A local service uses the broker that its settings name, or starts the installed package or a container."""

import os
from urllib.parse import urlsplit

import psutil
import pytest

from deploy.local import brokers
from deploy.local.process import ServerStartError
from tests.servers import answers

DOCKER = """\
#!/bin/sh
echo "$*" >>"$DOCKER_LOG"
exit "${DOCKER_STATUS:-0}"
"""


@pytest.fixture
def docker(monkeypatch, tmp_path):
    """The log of a fake docker command that records its arguments; RabbitMQ's package is not installed."""
    monkeypatch.delenv("OM_AMQP_URL", raising=False)
    monkeypatch.setattr(brokers, "ensure_rabbitmq", lambda: False)
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "docker").write_text(DOCKER)
    (programs / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("DOCKER_LOG", str(tmp_path / "log"))
    return tmp_path / "log"


def test_a_broker_that_the_settings_name_is_used_and_not_stopped(monkeypatch, tmp_path, docker):
    monkeypatch.setenv("OM_AMQP_URL", "amqp://elsewhere")
    monkeypatch.delenv("OM_MANAGEMENT_URL", raising=False)
    with brokers.broker(tmp_path) as found:
        assert (found.amqp_url, found.management_url) == ("amqp://elsewhere", "")
    assert not docker.exists()


def test_the_package_is_preferred_to_a_container_and_its_broker_is_stopped_afterwards(
    monkeypatch, tmp_path, rabbitmq, docker
):
    monkeypatch.setattr(brokers, "ensure_rabbitmq", lambda: True)
    with brokers.broker(tmp_path) as found:
        assert answers(urlsplit(found.management_url).port)
        assert {"beam.smp", "epmd"} <= list_programs(tmp_path)
    assert not answers(urlsplit(found.management_url).port)
    assert list_programs(tmp_path) == set()
    assert not docker.exists()


def list_programs(directory):
    """Return the names of the processes whose working directory is *directory* or a folder below it."""
    running = psutil.process_iter(["name", "cwd"])
    return {
        process.info["name"] for process in running if (process.info["cwd"] or "").startswith(str(directory))
    }


def test_a_container_is_started_if_the_package_is_missing_and_stopped_afterwards(tmp_path, docker):
    with brokers.broker(tmp_path) as found:
        assert docker.read_text().endswith("up --detach --wait rabbitmq\n")
        assert found.amqp_url.startswith("amqp://")
    assert docker.read_text().endswith("stop rabbitmq\n")


def test_the_error_names_the_setting_if_no_broker_can_be_started(monkeypatch, tmp_path, docker):
    monkeypatch.setenv("DOCKER_STATUS", "1")
    with pytest.raises(ServerStartError, match="OM_AMQP_URL"), brokers.broker(tmp_path):
        pass
