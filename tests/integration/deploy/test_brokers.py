"""The named broker comes first, then the package, then a container; only what was started is stopped."""

import os
from urllib.parse import urlsplit

import psutil
import pytest

from deploy.local import brokers
from deploy.local.process import ServerStartError
from deploy.local.rabbitmq import LocalRabbitMQ
from tests.servers import answers, require_rabbitmq

DOCKER = """\
#!/bin/sh
echo "$*" >>"$DOCKER_LOG"
exit "${DOCKER_STATUS:-0}"
"""


@pytest.fixture(autouse=True)
def _no_broker_is_named(monkeypatch):
    monkeypatch.delenv("OM_AMQP_URL", raising=False)


@pytest.fixture
def docker(monkeypatch, tmp_path):
    """A machine without RabbitMQ's package, and a docker that records its arguments."""
    monkeypatch.setattr(brokers, "ensure_rabbitmq", lambda: False)
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "docker").write_text(DOCKER)
    (programs / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("DOCKER_LOG", str(tmp_path / "log"))
    return tmp_path / "log"


def test_the_named_broker_is_used_and_left_alone(monkeypatch, tmp_path, docker):
    monkeypatch.setenv("OM_AMQP_URL", "amqp://elsewhere")
    with brokers.broker(tmp_path) as found:
        assert found.amqp_url == "amqp://elsewhere"
    assert not docker.exists()


def test_the_package_comes_before_a_container_and_is_stopped_afterwards(
    monkeypatch, tmp_path, rabbitmq, docker
):
    monkeypatch.setattr(brokers, "ensure_rabbitmq", lambda: True)
    with brokers.broker(tmp_path) as found:
        assert answers(urlsplit(found.management_url).port)
    assert not answers(urlsplit(found.management_url).port)
    assert not docker.exists()


def test_without_the_package_a_container_is_started_and_stopped_afterwards(tmp_path, docker):
    with brokers.broker(tmp_path) as found:
        assert docker.read_text().endswith("up --detach --wait rabbitmq\n")
        assert found.amqp_url.startswith("amqp://")
    assert docker.read_text().endswith("stop rabbitmq\n")


def test_without_any_broker_the_error_says_what_to_do(monkeypatch, tmp_path, docker):
    monkeypatch.setenv("DOCKER_STATUS", "1")
    with pytest.raises(ServerStartError, match="OM_AMQP_URL"), brokers.broker(tmp_path):
        pass


def test_nothing_of_a_stopped_node_is_left(tmp_path):
    require_rabbitmq()
    with LocalRabbitMQ(tmp_path):
        assert {"beam.smp", "epmd"} <= _programs_in(tmp_path)
    assert _programs_in(tmp_path) == set()


def _programs_in(directory):
    """Name the processes whose working directory is there; servers are started in their own."""
    running = psutil.process_iter(["name", "cwd"])
    return {process.info["name"] for process in running if process.info["cwd"] == str(directory)}
