"""Every setting that documents and deployment files name is one that the code reads."""

import re
from pathlib import Path

from messaging.settings import unknown_settings

ROOT = Path(__file__).parents[2]
PLACES = ("README.md", "docs", "deploy", "docker")
KINDS = {".md", ".example", ".service", ".timer", ".socket", ".conf", ".yaml", ".yml", ".json", ".toml", ""}
WORD = re.compile(r"\bOM_[A-Z_]*[A-Z]\b(?!_?\*)")
PORTS = {"OM_MANAGEMENT_PORT", "OM_POSTGRESQL_PORT", "OM_RABBITMQ_PORT"}
CONTAINERS_PORTS = {"OM_GATEWAY_PORT", "OM_OBSERVE_PORT", "OM_PROMETHEUS_PORT"}
ELSEWHERE = {*PORTS, *CONTAINERS_PORTS, "OM_BATCH_EVENT"}
"""Settings of the local servers and compose files, and a misspelling that a document shows."""


def texts():
    for place in PLACES:
        root = ROOT / place
        for path in [root] if root.is_file() else root.rglob("*"):
            if path.is_file() and path.suffix in KINDS:
                yield path.read_text(encoding="utf-8")


def test_every_setting_that_a_document_names_exists():
    words = {word for text in texts() for word in WORD.findall(text)}
    assert "OM_BIND" in words
    assert set(unknown_settings(words)) - ELSEWHERE == set()
