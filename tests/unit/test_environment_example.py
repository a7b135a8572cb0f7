"""deploy/environment.example lists exactly the settings that the code reads."""

import re
from pathlib import Path

import pytest

from messaging.settings import known_settings

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "deploy" / "environment.example"
# Settings of deploy/local are for a developer's machine and do not belong into an operator's file.
PACKAGES = ("messaging", "webhook_api", "workers", "omctl")
READ = re.compile(
    r"(?:\.(?:string|strings|integer|seconds|boolean|one_of|share)|\bsetting)\(\s*\"(OM_[A-Z_]+)\"",
    re.MULTILINE,
)
LISTED = re.compile(r"^#?(OM_[A-Z_]+)=", re.MULTILINE)


def variables_read():
    sources = (path.read_text() for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    # OM_SETTINGS_FILE names the file that the others are read from.
    return {name for source in sources for name in READ.findall(source)} | {"OM_SETTINGS_FILE"}


def variables_listed():
    return LISTED.findall(EXAMPLE.read_text())


def test_every_variable_that_the_code_reads_is_listed_and_no_other():
    assert set(variables_listed()) == variables_read()


def test_every_variable_is_named_among_the_known_ones():
    assert variables_read() == known_settings()


def test_no_variable_is_listed_twice():
    assert len(variables_listed()) == len(set(variables_listed()))


@pytest.mark.parametrize("name", sorted(variables_read()))
def test_every_variable_has_its_explanation(name):
    lines = EXAMPLE.read_text().splitlines()
    position = next(index for index, line in enumerate(lines) if re.match(rf"#?{name}=", line))
    assert lines[position - 1].startswith("# ")
