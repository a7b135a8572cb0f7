"""A local service fills in what the environment lacks and nothing else."""

import stat

import pytest

from deploy.local.brokers import BrokerAddress
from deploy.local.service import LocalService, missing_settings, secret_file

BROKER = BrokerAddress("amqp://host", "", "a broker")


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch):
    for name in ("OM_DATABASE_URL", "OM_STATE_DIRECTORY", "OM_WEBHOOK_SECRETS", "OM_ALLOW_UNSIGNED"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(f"{name}_FILE", raising=False)


def test_the_secret_is_made_once_and_readable_by_its_owner_alone(tmp_path):
    made = secret_file(tmp_path).read_text()
    assert len(made) >= 32
    assert secret_file(tmp_path).read_text() == made
    assert stat.S_IMODE(secret_file(tmp_path).stat().st_mode) == 0o600


def test_what_is_set_stays(monkeypatch, tmp_path):
    monkeypatch.setenv("OM_DATABASE_URL", "postgresql://elsewhere")
    monkeypatch.setenv("OM_WEBHOOK_SECRETS_FILE", "/run/secret")
    assert set(missing_settings(tmp_path)) == {"OM_STATE_DIRECTORY", "OM_EDGE_PROCESSES"}


@pytest.mark.parametrize(
    ("bind", "url"),
    [
        ("127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("0.0.0.0:81", "http://127.0.0.1:81"),
        ("[::]:81", "http://127.0.0.1:81"),
        (":81", "http://127.0.0.1:81"),
    ],
)
def test_the_address_is_one_that_a_client_here_can_use(tmp_path, bind, url):
    assert LocalService(tmp_path, bind, BROKER).url == url
