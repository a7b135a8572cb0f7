"""A worker process whose every event dies stops, says so, and goes on when it can or is told to."""

import json
import re

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from omctl.__main__ import omctl as command
from tests.integration.workers.events import said
from tests.integration.workers.intake.patience import wait_until
from workers.intake.brake import RECENT_EVENTS
from workers.tables import engine_of

BATCH = 50
BAD = [{"no": number} for number in range(2 * RECENT_EVENTS)]


@pytest.fixture
def omctl(environment):
    def run(*words):
        result = CliRunner().invoke(command, [*words, "--json"], env=environment, catch_exceptions=False)
        return json.loads(result.stdout)

    return run


@pytest.fixture
def braked(start, publish, count, omctl):
    """A worker that was given bad events alone."""
    start(OM_BATCH_EVENTS=str(BATCH))
    publish(*BAD)
    wait_until(lambda: omctl("brake", "list"))
    assert RECENT_EVENTS <= count("dead_letters") <= RECENT_EVENTS + BATCH


def test_it_pauses_and_says_since_when_by_what_share_and_what_to_do(braked, omctl, tmp_path):
    [found] = [each for each in omctl("check")["findings"] if each["subject"].startswith("brake of ")]
    assert found["level"] == "problem"
    assert re.search(r"since 20\d\d-.*of its last 300 events 300 \(100%\)", found["text"])
    assert "omctl brake release" in found["advice"]
    assert '"state": "on"' in (tmp_path / "worker-0.log").read_text()


def test_it_goes_on_when_a_person_says_so_and_who_and_why_is_on_record(braked, omctl, count, environment):
    [brake] = omctl("brake", "list")
    assert omctl("brake", "release", "--dry-run") == {
        "released": [brake["worker"]],
        "unknown": [],
        "done": False,
    }
    omctl("brake", "release", "--reason", "they are bad")

    wait_until(lambda: count("dead_letters") == len(BAD))
    assert omctl("brake", "list") == []
    engine = engine_of(environment["OM_DATABASE_URL"])
    with engine.connect() as connection:
        [row] = connection.execute(text("SELECT action, person, reason, outcome FROM interventions"))
    engine.dispose()
    assert (row.action, row.reason, row.outcome) == ("release-brake", "they are bad", "done")
    assert "@" in row.person


def test_it_goes_on_by_itself_once_an_event_can_be_processed(start, publish, count, omctl, tmp_path):
    start(OM_BATCH_EVENTS=str(BATCH))
    mixed = [each for n in range(BATCH) for each in ({"bad": n}, said("good", after_ms=n))]
    publish(*BAD[:RECENT_EVENTS], *mixed)

    wait_until(lambda: count("dead_letters") == RECENT_EVENTS + BATCH)
    wait_until(lambda: count() == BATCH)
    log = (tmp_path / "worker-0.log").read_text()
    assert '"state": "on"' in log
    assert '"state": "off"' in log
    assert omctl("brake", "list") == []
