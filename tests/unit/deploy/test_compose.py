"""docker/compose.yaml has the roles, settings and secrets that the code needs, and confines containers."""

import re
from pathlib import Path

import pytest

from messaging.environment import Environment
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
    # The workers that the scaler starts inherit its environment.
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


def test_each_worker_role_has_a_service_in_the_compose_file():
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


def test_each_secret_that_a_service_reads_is_declared_and_granted_to_the_service():
    declared = set(re.findall(r"^  (\S+): \{file: secrets/\1\}$", TEXT, re.MULTILINE))
    for service, text in SERVICES.items():
        named = set(re.findall(r"/run/secrets/(\w+)", text))
        granted = {secret for line in re.findall(r"secrets:\s*\[(.*)\]", text) for secret in line.split(", ")}
        assert named <= granted <= declared, service


def test_each_container_is_confined_and_our_own_containers_have_limits():
    anchors = dict(re.findall(r"^x-[\w-]+: &([\w-]+)\n((?:  .*\n)+)", TEXT, re.MULTILINE))

    def lines(block):
        base = re.search(r"<<: \*([\w-]+)", block)
        return {line.strip() for line in block.splitlines()} | (lines(anchors[base[1]]) if base else set())

    confined = {"read_only: true", "cap_drop: [ALL]", 'security_opt: ["no-new-privileges:true"]'}
    # Docker's default logging driver would let each container's log grow indefinitely.
    confined |= {"logging: {driver: local}"}
    limits = {"pids_limit: 512", "oom_score_adj: 500"}
    for service, block in SERVICES.items():
        assert confined <= lines(block), service
        is_ours = service in {*READERS, "migrate", "setup", "omctl"}
        assert limits & lines(block) == (limits if is_ours else set()), service
        # The limit suits a single process; the edge runs one for each CPU, and the scaler starts workers.
        assert ("mem_limit: 1g" in lines(block)) is (service in {*READERS} - {"edge", "scale"}), service


def test_a_service_reads_headers_that_contain_secrets_from_files():
    edge = set(re.findall(r"(OM_\w+_HEADERS)_FILE:", SERVICES["edge"]))
    assert edge == {"OM_REQUIRED_HEADERS", "OM_EVENTS_HEADERS"}
    assert "OM_REQUIRED_HEADERS_FILE:" in SERVICES["observe"]


def test_only_the_gateway_listens_on_addresses_other_than_loopback():
    published = {name: re.findall(r'- "(.*):\d+"', text) for name, text in SERVICES.items()}
    open_to_all = {name for name, ports in published.items() for port in ports if "127.0.0.1:" not in port}
    assert open_to_all == {"gateway"}
