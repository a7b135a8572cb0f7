"""Unknown names in the platform's events are listed until an operator accepts them.

Guarantee 6.2.
"""

from functools import partial

import pytest

from omctl.look.drift import drift as command
from tests.fakes.clock import FakeClock
from tests.integration.workers.commands import run_omctl
from tests.integration.workers.events import deliver, said
from workers.intake import Intake
from workers.parsing.drift import WRITE_SECONDS


@pytest.fixture
def omctl(migrated_url):
    return partial(run_omctl, command, OM_DATABASE_URL=migrated_url)


@pytest.fixture
def make_intake(engine, handlers):
    return lambda clock: Intake(engine, handlers, clock)


def test_an_accepted_name_is_not_listed_again(intake, omctl):
    intake(deliver(said("a", novelty=1, surprise=2)))
    names = {each["name"] for each in omctl("list")["drift"]}
    assert {"novelty", "surprise"} <= names
    assert omctl("accept", "novelty", "--dry-run")["accepted"] == ["novelty"]
    assert omctl("accept", "novelty")["accepted"] == ["novelty"]
    assert omctl("accept", "novelty", status=1)["unknown"] == ["novelty"]
    intake(deliver(said("a", novelty=3, after_ms=1)))
    assert {each["name"] for each in omctl("list")["drift"]} == names - {"novelty"}
    [accepted] = [each for each in omctl("list", "--all")["drift"] if each["name"] == "novelty"]
    assert "@" in accepted["accepted_by"]


def test_the_shape_and_the_count_of_an_unknown_field_are_recorded(make_intake, omctl, capsys):
    clock = FakeClock()
    worker = make_intake(clock)
    worker.process([deliver(said("a", novelty="Jane Doe"))])
    clock.seconds += WRITE_SECONDS / 2
    worker.process(
        [deliver(said("b", novelty="John", after_ms=1)), deliver(said("c", novelty=1, after_ms=2))]
    )
    assert count_of("novelty", omctl) == 1
    clock.seconds += WRITE_SECONDS
    worker.process([deliver(said("d", after_ms=3))])
    assert count_of("novelty", omctl) == 3
    make_intake(clock).process([deliver(said("e", novelty=2, after_ms=4))])

    [record] = [each for each in omctl("list")["drift"] if each["name"] == "novelty"]
    assert (record["count"], record["sample"]) == (4, "string(8)")
    assert record["first_seen_at"] < record["last_seen_at"]
    logged = capsys.readouterr().out
    assert logged.count("drift_noted") == 1
    assert "Jane" not in logged


def count_of(name, omctl):
    return next(each["count"] for each in omctl("list")["drift"] if each["name"] == name)
