"""A run of the sabotage that was broken off is gone on with, as long as the product is the same."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.chaos.caught import Caught
from tests.chaos.defects import DEFECTS
from tests.figures import Checkout, Standing

FIRST, SECOND = DEFECTS[:2]


def caught(path: Path, *, resume: bool, defects: list[str] | None = None) -> Caught:
    options = {"json": path, "resume": resume, "defect": defects}
    return Caught(SimpleNamespace(getoption=options.get))


def told(defect, *, is_caught=True):
    values = {"name": defect.name, "fault": defect.fault, "mark": defect.mark}
    return values | {"caught": is_caught, "intact": "lost=0", "outcome": "lost=3"}


BEFORE = {"commit": "c0ffee", "date": "2026-11-25", "seed": "5a"}
NOW = {"commit": "f00d", "date": "2026-11-26", "seed": "5b", "dirty": False, "versions": {"pika": "2"}}
"""The certificates of the run on file and of the one at hand."""


@pytest.fixture
def kept(tmp_path):
    """What a run that was broken off left: one defect was caught, and one was not."""
    content = {
        "certificate": BEFORE | {"dirty": False, "versions": {"RabbitMQ": "4", "pika": "1"}},
        "defects": [told(FIRST), told(SECOND, is_caught=False)],
    }
    path = tmp_path / "sabotage.json"
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def standing(monkeypatch):
    """Let git say how the product on file stands to the one at hand."""
    return lambda told: monkeypatch.setattr(Checkout, "standing_of", lambda *_: told)


def test_what_was_caught_is_not_run_again_and_what_was_not_is(kept, standing):
    standing(Standing.SAME)
    run = caught(kept, resume=True)
    assert run.is_done(FIRST.name)
    assert not run.is_done(SECOND.name)
    assert run.note(told(SECOND), 61.4, NOW) == f"fault {SECOND.fault}, {SECOND.name}: lost=3 (61 s)"
    assert run.line.startswith(f"sabotage: defects={len(DEFECTS)} caught=2")


def test_each_row_keeps_the_commit_and_the_seed_of_its_own_run(kept, standing):
    standing(Standing.SAME)
    run = caught(kept, resume=True)
    run.note(told(SECOND), 61.4, NOW)
    assert [(row["commit"], row["seed"]) for row in run.defects] == [("c0ffee", "5a"), ("f00d", "5b")]
    assert run.line.endswith(" commits=c0ffee,f00d")


def test_the_certificate_claims_no_newer_commit_than_the_oldest_row_and_lists_every_seed(kept, standing):
    standing(Standing.SAME)
    run = caught(kept, resume=True)
    run.note(told(SECOND), 61.4, NOW)
    seeds = BEFORE | {"seed": "5a, 5b", "versions": {"RabbitMQ": "4", "pika": "2"}}
    assert run.certificate(NOW) == NOW | seeds


def test_a_run_that_goes_on_with_nothing_has_its_own_certificate(kept):
    run = caught(kept, resume=False)
    run.note(told(FIRST), 1.0, NOW)
    assert run.certificate(NOW) == NOW
    assert "commits" not in run.line


def test_what_was_caught_without_its_control_is_run_again(kept, standing):
    standing(Standing.SAME)
    content = json.loads(kept.read_text())
    del content["defects"][0]["intact"]
    kept.write_text(json.dumps(content))
    assert not caught(kept, resume=True).defects


def test_a_defect_whose_control_failed_is_told_as_that(kept):
    failed = {name: value for name, value in told(FIRST, is_caught=False).items() if name != "outcome"}
    line = caught(kept, resume=False).note(failed | {"intact": "lost=1"}, 1.0, NOW)
    assert line == f"fault {FIRST.fault}, {FIRST.name}: the intact product fails, too: lost=1 (1 s)"


def test_what_is_on_file_of_another_product_counts_for_nothing(kept, standing):
    standing(Standing.CHANGED)
    assert not caught(kept, resume=True).defects


@pytest.mark.parametrize("change", [{"dirty": True}, {"mark": "another"}], ids=str)
def test_what_was_caught_otherwise_is_run_again(kept, standing, change):
    standing(Standing.SAME)
    content = json.loads(kept.read_text())
    content["certificate"] |= {"dirty": change.get("dirty", False)}
    content["defects"][0] |= {"mark": change.get("mark", FIRST.mark)}
    kept.write_text(json.dumps(content))
    assert not caught(kept, resume=True).is_done(FIRST.name)


def test_a_run_is_about_all_that_was_asked_for_whether_it_came_to_its_end_or_not(kept):
    run = caught(kept, resume=False)
    run.note(told(FIRST), 1.0, NOW)
    assert run.line == f"sabotage: defects={len(DEFECTS)} caught=1"
    part = caught(kept, resume=False, defects=[FIRST.name])
    part.note(told(FIRST), 1.0, NOW)
    assert part.line == "sabotage: defects=1 caught=1"
