"""Test that the protocol keeps its promises in every order of its steps, and that Spin finds defects."""

import os
import re
from dataclasses import replace

import pytest

from tests.model.__main__ import judge
from tests.model.cases import DEFECTS, PROTOCOL, WINDOWS
from tests.model.checking import FOLDER, Result, check, is_spin_installed, tell

FAULTS = "2"
"""The number of faults: one fewer than in `make model`, which reduces the orders to check to a tenth."""
SELECTED = ("no grace period", "claimed outside the effect's transaction")


@pytest.fixture(scope="session")
def spin():
    """If Spin is missing, skip the test on a laptop and fail it in CI."""
    if not is_spin_installed():
        message = "Spin and gcc are not installed; `make test` installs them"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(message)


@pytest.mark.parametrize("case", PROTOCOL, ids=lambda case: case.name)
@pytest.mark.usefixtures("spin")
def test_no_order_of_the_protocols_steps_loses_or_repeats_an_event(case):
    shorter = replace(case, macros={**case.macros, "FAULTS": FAULTS})
    assert check(shorter, is_expected_to_fail=False).story == ()


@pytest.mark.parametrize(
    "case", [case for case in DEFECTS if case.name in SELECTED], ids=lambda case: case.name
)
@pytest.mark.usefixtures("spin")
def test_a_defects_counterexample_is_a_story_that_ends_with_a_lost_event(case):
    assert check(case, is_expected_to_fail=True).story[-1] == "An event that was answered 200 is lost."


def test_a_story_names_the_events_of_a_bit_mask():
    steps = "> Worker 1 gets {5}.\n> Worker 1 acknowledges {8}.\n"
    trail = f"{steps}spin: text of failed assertion: assert(promised)\n"
    assert tell(trail) == (
        "Worker 1 gets A and C.",
        "Worker 1 acknowledges the replay of A.",
        "An event that was answered 200 is lost.",
    )


def results_of(failing):
    return [
        Result(case, 10, ("a step", "a loss") if case in failing else ())
        for case in (*PROTOCOL, *WINDOWS, *DEFECTS)
    ]


def test_a_run_passes_if_only_windows_and_defects_have_counterexamples():
    line, is_good = judge(results_of((*WINDOWS, *DEFECTS)))
    count = len(DEFECTS)
    assert line == f"model: states=50 defects={count} counterexamples={count} windows=3"
    assert is_good


@pytest.mark.parametrize(
    "failing",
    [(*WINDOWS, *DEFECTS[1:]), (*WINDOWS[1:], *DEFECTS), (*WINDOWS, *DEFECTS, PROTOCOL[0])],
    ids=["a defect is hidden", "a window is closed", "the protocol fails"],
)
def test_a_run_fails_if_a_case_has_an_unexpected_result(failing):
    assert not judge(results_of(failing))[1]


ROOT = FOLDER.parents[1]
PLACES = [ROOT / folder for folder in ("", "webhook_api", "messaging", "workers")]


@pytest.mark.parametrize("model", ["edge", "effect"])
def test_every_module_that_a_model_names_exists(model):
    names = re.findall(r"[a-z_]+(?:/[a-z_]+)+(?:\.(?:py|md))?", (FOLDER / f"{model}.pml").read_text())
    assert len(names) > 3
    assert [name for name in names if not any((place / name).exists() for place in PLACES)] == []


def test_both_models_are_short_enough_to_read_beside_the_code():
    lines = sum(len(path.read_text().splitlines()) for path in models())
    assert lines <= 400


def models():
    return sorted(FOLDER.glob("*.pml"))
