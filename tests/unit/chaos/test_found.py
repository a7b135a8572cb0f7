"""A report of `omctl find` is right only if it shows the effect that the event really had."""

import pytest

from tests.chaos.found import is_right
from workers.db.timeline import Timeline

DIGEST = bytes(32)


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
