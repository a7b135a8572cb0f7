"""Test that settle and deliver keep their promises in many schedules, and that known defects are found."""

import pytest

from tests.simulation.__main__ import find, simulate
from tests.simulation.behind.defects import DEFECTS
from tests.simulation.behind.schedule import choose, run
from tests.simulation.defects import put_in
from tests.simulation.schedule import shrink

SEEDS = 20
SELECTED = {"the outbox is committed before the state": 5}
"""How many seeds are enough to find each selected defect."""


@pytest.mark.timeout(300)
def test_no_schedule_breaks_a_promise(capsys):
    assert simulate("behind", 0, SEEDS) == 0
    assert f"simulate: schedules={SEEDS} lost=0 repeated=0\n" in capsys.readouterr().out


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "defect", [one for one in DEFECTS if one.title in SELECTED], ids=lambda defect: defect.title
)
def test_a_defect_is_found_and_shown_by_a_shorter_schedule(defect):
    seed, broken = find("behind", defect, SELECTED[defect.title])
    assert seed is not None
    with put_in(defect):
        shorter = shrink(choose(seed), run)
        assert run(shorter).broken
    assert run(shorter).broken is None, f"the defect alone explains {broken}"


def test_the_selected_defects_are_known():
    assert SELECTED.keys() <= {defect.title for defect in DEFECTS}


@pytest.mark.parametrize("seed", range(3))
def test_a_seed_repeats_its_run_byte_for_byte(seed):
    stories = []
    for _ in range(2):
        story = []
        run(choose(seed), story.append)
        stories.append("\n".join(story))
    assert stories[0] == stories[1]
    assert "windows_settled" in stories[0]
