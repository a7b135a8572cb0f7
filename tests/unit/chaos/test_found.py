"""A fault's row in the table is bad if `omctl find` misreported an event of its run."""

import pytest

from tests.chaos.found import is_right
from tests.chaos.result import Result
from tests.chaos.table import is_bad, summary
from workers.db.timeline import Timeline

DIGEST = bytes(32)
GOOD = Result(
    1, "a fault", rounds=1, proofs=("it struck",), accepted=1, answered=9, drawn=3, found=3
).as_row()


def report(*steps):
    timeline = Timeline("m-1", "c-1", "a type", DIGEST.hex(), event_id=1)
    for step in ("received", *steps):
        timeline.add(None, step)
    return [timeline]


@pytest.mark.parametrize(
    ("shown", "effect", "expected"),
    [
        (["processed"], "processed", True),
        (["recorded without effect"], "recorded without effect", True),
        (["processed"], "recorded without effect", False),
        (["recorded without effect"], "processed", False),
        ([], "processed", False),
        (["processed"], None, False),
    ],
)
def test_a_report_is_right_only_with_the_effect_that_the_event_really_had(shown, effect, expected):
    assert is_right(report(*shown), DIGEST, effect=effect, is_at_end=True) == expected


def test_no_report_about_a_stored_event_is_wrong():
    assert not is_right([], DIGEST, effect="processed", is_at_end=True)


def test_a_fault_is_bad_if_fewer_events_were_found_than_drawn():
    assert not is_bad(GOOD)
    assert is_bad(GOOD | {"found": 2})
    assert is_bad(GOOD | {"found": 0})


def test_the_last_line_shows_how_many_of_the_drawn_events_were_found():
    line = summary([GOOD, GOOD | {"found": 2}], {"commit": "c", "seed": "s"})
    assert " found=5/6 " in line
    assert line.endswith("failed=1")
