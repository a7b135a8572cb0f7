"""deploy/environment.example lists exactly the settings that the code reads, and pages mention no others."""

import re
from pathlib import Path

import pytest

from messaging.settings import known_settings, unknown_settings

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "deploy" / "environment.example"
# Settings of deploy/local are for a developer's machine and do not belong in an operator's file.
PACKAGES = ("messaging", "webhook_api", "workers", "omctl")
READ = re.compile(
    r"(?:\.(?:string|strings|integer|seconds|boolean|one_of|share)|\bsetting)\(\s*\"(OM_[A-Z_]+)\""
)
LISTED = re.findall(r"^#?(OM_[A-Z_]+)=", EXAMPLE.read_text(), re.MULTILINE)
PLACES = ("README.md", "docs", "deploy", "docker")
KINDS = {".md", ".example", ".service", ".timer", ".socket", ".conf", ".yaml", ".yml", ".json", ".toml", ""}
WORD = re.compile(r"\bOM_[A-Z_]*[A-Z]\b(?!_?\*)")
PORTS = {"OM_MANAGEMENT_PORT", "OM_POSTGRESQL_PORT", "OM_RABBITMQ_PORT"}
CONTAINERS_PORTS = {"OM_GATEWAY_PORT", "OM_OBSERVE_PORT", "OM_PROMETHEUS_PORT"}
ELSEWHERE = {*PORTS, *CONTAINERS_PORTS, "OM_BATCH_EVENT"}
"""Settings of the local servers and compose files, and a misspelling that a page quotes."""


def test_the_example_lists_exactly_the_variables_that_the_code_reads():
    sources = (path.read_text() for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    # OM_SETTINGS_FILE gives the path of the file from which the other settings are read.
    read = {name for source in sources for name in READ.findall(source)} | {"OM_SETTINGS_FILE"}
    assert read == known_settings()
    assert sorted(LISTED) == sorted(read)


@pytest.mark.parametrize("name", LISTED)
def test_every_variable_has_an_explanation(name):
    lines = EXAMPLE.read_text().splitlines()
    position = next(index for index, line in enumerate(lines) if re.match(rf"#?{name}=", line))
    assert lines[position - 1].startswith("# ")


def test_every_setting_that_a_page_names_exists():
    roots = [ROOT / place for place in PLACES]
    files = [path for root in roots for path in ([root] if root.is_file() else root.rglob("*"))]
    texts = [path.read_text() for path in files if path.is_file() and path.suffix in KINDS]
    words = {word for text in texts for word in WORD.findall(text)}
    assert "OM_BIND" in words
    assert set(unknown_settings(words)) - ELSEWHERE == set()
