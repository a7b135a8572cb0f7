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
    return values | {"caught": is_caught, "outcome": "lost=3"}


@pytest.fixture
def kept(tmp_path):
    """What a run that was broken off left: one defect was caught, and one was not."""
    content = {
        "certificate": {"commit": "c0ffee", "dirty": False, "versions": {"RabbitMQ": "4"}},
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
    assert run.versions == {"RabbitMQ": "4"}
    assert run.note(told(SECOND), 61.4) == f"fault {SECOND.fault}, {SECOND.name}: lost=3 (61 s)"
    assert run.line == f"sabotage: defects={len(DEFECTS)} caught=2"


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
    run.note(told(FIRST), 1.0)
    assert run.line == f"sabotage: defects={len(DEFECTS)} caught=1"
    part = caught(kept, resume=False, defects=[FIRST.name])
    part.note(told(FIRST), 1.0)
    assert part.line == "sabotage: defects=1 caught=1"
