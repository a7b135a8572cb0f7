"""omctl check reads the destinations' file, and tells who is paused."""

import os
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from omctl.check import Level, check_configuration
from omctl.check.database import paused_findings


@pytest.fixture
def found(monkeypatch, tmp_path):
    def found(content):
        path = tmp_path / "destinations.toml"
        path.write_text(content)
        monkeypatch.setenv("OM_DESTINATIONS", str(path))
        [finding] = [each for each in check_configuration(os.environ) if each.subject == "destinations"]
        return finding

    return found


def test_a_key_that_is_wrong_is_a_problem_by_its_name(found):
    finding = found('[destinations.crm]\nurl = "https://crm.example/"\nsecrets = "whsec_c2VjcmV0"\n')
    assert finding.level is Level.PROBLEM
    assert finding.advice.startswith("OM_DESTINATIONS: destinations.crm.secret")
    assert "c2VjcmV0" not in finding.advice


def test_a_good_file_is_well(found):
    content = (
        '[destinations.crm]\nurl = "https://crm.example/"\nsecret = "whsec_c2VjcmV0"\n'
        'events = ["openmessaging:receipt"]\n'
    )
    assert found(content).level is Level.OK


def test_a_destination_that_is_paused_is_told_with_the_way_back():
    paused = SimpleNamespace(name="crm", paused_at=datetime(2026, 1, 1, tzinfo=UTC), paused_because="gone")
    going = SimpleNamespace(name="content", paused_at=None, paused_because=None)
    [finding] = paused_findings([paused, going])
    assert (finding.level, finding.advice) == (Level.WARNING, "omctl destinations resume crm")
