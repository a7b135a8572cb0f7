"""docker/compose.yaml agrees with the code: roles, settings, secrets, and the broker's users."""

import json
import re
from pathlib import Path

import pytest

from messaging.environment import Environment
from omctl.installing.broker import RIGHTS, USERS
from webhook_api.settings import EdgeSettings
from workers.__main__ import main
from workers.observe import ObserveSettings
from workers.reconcile import ReconcileSettings
from workers.retain import RetainSettings
from workers.settings import DeliverSettings, IntakeSettings, ScaleSettings, SettleSettings

DOCKER = Path(__file__).parents[3] / "docker"
TEXT = (DOCKER / "compose.yaml").read_text(encoding="utf-8")
BLOCK = re.compile(r"^  (\w+):\n((?:    .*\n|\n|  #.*\n)+)", re.MULTILINE)
SERVICES = dict(BLOCK.findall(TEXT.partition("\nservices:\n")[2].partition("\nvolumes:\n")[0]))
READERS = {
    "edge": [EdgeSettings.from_environment],
    "intake": [IntakeSettings.from_environment],
    # The scaler's workers are its children and inherit its environment.
    "scale": [ScaleSettings.from_environment, IntakeSettings.from_environment],
    "settle": [SettleSettings.from_environment],
    "deliver": [DeliverSettings.from_environment],
    "reconcile": [ReconcileSettings.from_environment],
    "retain": [RetainSettings.from_environment],
    "observe": [ObserveSettings.from_environment],
}
VALUES = {
    "OM_AMQP_URL": "amqp://user:word@rabbitmq:5672/%2F",
    "OM_MANAGEMENT_URL": "http://user:word@rabbitmq:15672",
    "OM_DATABASE_URL": "postgresql+psycopg://user:word@postgresql/name",
    "OM_WEBHOOK_SECRETS": "constructed-secret-0123456789abcdef",
    "OM_GENESYS_CLIENT_SECRET": "constructed",
    "OM_GENESYS_CLIENT_ID": "constructed",
    "OM_GENESYS_REGION": "eu-central-1",
    "OM_FAILED_RECEIPTS": "crm",
    "OM_CANARY_URL": "https://hooks.example/webhooks/genesys",
}
DESTINATIONS = """\
[destinations.crm]
url = "https://crm.example/"
secret = "whsec_Y29uc3RydWN0ZWQtMDEyMzQ1Njc4OWFiY2Q="
events = ["openmessaging:receipt"]
"""


def test_each_worker_role_has_a_service():
    roles = set(re.findall(r'-m"?,? "?workers"?,? "?(\w+)', TEXT))
    assert roles == set(main.commands) == set(READERS) - {"edge"}
    assert roles <= set(SERVICES)


@pytest.mark.parametrize("service", READERS)
def test_a_service_gets_only_settings_that_it_reads(service, monkeypatch, tmp_path):
    (tmp_path / "destinations.toml").write_text(DESTINATIONS)
    for name, value in {**VALUES, "OM_DESTINATIONS": str(tmp_path / "destinations.toml")}.items():
        monkeypatch.setenv(name, value)
    used, read = set(), Environment._read
    monkeypatch.setattr(Environment, "_read", lambda self, name: used.add(name) or read(self, name))
    for read_settings in READERS[service]:
        read_settings()
    names = re.findall(r"^ +(OM_\w+):", SERVICES[service], re.MULTILINE)
    assert names
    assert {name.removesuffix("_FILE") for name in names} <= used


def test_a_secret_of_a_service_is_granted_to_it_and_declared():
    declared = set(re.findall(r"^  (\S+): \{file: secrets/\1\}$", TEXT, re.MULTILINE))
    for service, text in SERVICES.items():
        named = set(re.findall(r"/run/secrets/(\w+)", text))
        granted = {secret for line in re.findall(r"secrets: \[(.*)\]", text) for secret in line.split(", ")}
        assert named <= granted <= declared, service


def test_only_the_gateway_listens_on_addresses_other_than_loopback():
    published = {name: re.findall(r'- "(.*):\d+"', text) for name, text in SERVICES.items()}
    open_to_all = {name for name, ports in published.items() for port in ports if "127.0.0.1:" not in port}
    assert open_to_all == {"gateway"}


def test_the_brokers_users_have_the_same_rights_as_after_an_installation():
    definitions = json.loads((DOCKER / "rabbitmq" / "definitions.json").read_text(encoding="utf-8"))
    assert definitions["permissions"] == [
        {"user": user.name, "vhost": "/"} | {right: getattr(user, right) for right in RIGHTS}
        for user in USERS
    ]
