"""docker/prepare generates the secrets of the containers."""

import base64
import hashlib
import json
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

DOCKER = Path(__file__).parents[3] / "docker"


@pytest.fixture
def prepare(tmp_path):
    shutil.copytree(DOCKER, tmp_path / "docker", ignore=shutil.ignore_patterns("secrets"))
    shutil.copytree(DOCKER.parent / "deploy" / "rabbitmq", tmp_path / "deploy" / "rabbitmq")

    def run():
        subprocess.run([tmp_path / "docker" / "prepare", "hooks.example.com"], check=True)
        return {path.name: path.read_bytes() for path in (tmp_path / "docker" / "secrets").iterdir()}

    return run


def test_every_secret_that_the_compose_file_names_is_generated_only_once_and_only_for_its_owner(
    prepare, tmp_path
):
    secrets = tmp_path / "docker" / "secrets"
    secrets.mkdir(mode=0o755)
    made = prepare()
    text = (DOCKER / "compose.yaml").read_text(encoding="utf-8")
    assert set(re.findall(r"file: secrets/(\S+)\}", text)) <= set(made)
    assert prepare() == made
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700


def test_the_brokers_password_hashes_match_the_passwords_in_the_addresses(prepare):
    made = prepare()
    users = json.loads(made["rabbitmq_definitions.json"])["users"]
    assert len(users) == 3
    for user in users:
        side = user["name"].rpartition("-")[2]
        password = re.search(rb":([0-9a-f]{48})@rabbitmq:", made[f"amqp_{side}"])[1]
        kept = base64.b64decode(user["password_hash"])
        assert kept[4:] == hashlib.sha256(kept[:4] + password).digest()
