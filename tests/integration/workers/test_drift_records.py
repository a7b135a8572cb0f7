"""What the platform sends that nobody knows is listed until a person accepts it."""

import json

import pytest
from click.testing import CliRunner

from omctl.commands.drift import drift as command
from tests.integration.workers.conftest import deliver, said


@pytest.fixture
def omctl(migrated_url):
    def run(*arguments, status=0):
        environment = {"OM_DATABASE_URL": migrated_url}
        result = CliRunner().invoke(command, [*arguments, "--json"], env=environment, catch_exceptions=False)
        assert result.exit_code == status, result.output
        return json.loads(result.stdout)

    return run


def test_what_is_accepted_is_listed_no_more_and_comes_again_in_silence(intake, omctl):
    intake(deliver(said("a", novelty=1, surprise=2)))
    names = {each["name"] for each in omctl("list")}
    assert {"novelty", "surprise"} <= names

    assert omctl("accept", "novelty", "--dry-run")["accepted"] == ["novelty"]
    assert omctl("accept", "novelty")["accepted"] == ["novelty"]
    assert omctl("accept", "novelty", status=1)["unknown"] == ["novelty"]
    intake(deliver(said("a", novelty=3, after_ms=1)))
    assert {each["name"] for each in omctl("list")} == names - {"novelty"}
    [accepted] = [each for each in omctl("list", "--all") if each["name"] == "novelty"]
    assert "@" in accepted["accepted_by"]
