"""A run of the sabotage that was broken off is gone on with, as long as the product is the same."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.chaos.caught import Caught
from tests.chaos.defects import DEFECTS
from tests.figures import Checkout, Standing

FIRST, SECOND = DEFECTS[:2]


def caught(path: Path, *, resume: bool) -> Caught:
    options = {"json": path, "resume": resume}
    return Caught(SimpleNamespace(getoption=options.get))


def told(defect, *, is_caught=True):
    return {"name": defect.name, "fault": defect.fault, "caught": is_caught, "outcome": "lost=3"}


@pytest.fixture
def kept(tmp_path):
    """What a run that was broken off left: one defect was caught, and one was not."""
    content = {
        "certificate": {"commit": "c0ffee", "versions": {"RabbitMQ": "4"}},
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


def test_a_run_that_goes_on_with_nothing_is_about_what_it_ran(kept):
    run = caught(kept, resume=False)
    run.note(told(FIRST), 1.0)
    assert run.line == "sabotage: defects=1 caught=1"
