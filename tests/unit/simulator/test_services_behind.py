"""What the demonstration says of its conversations."""

import pytest

from simulator.demonstration import ConversationCounts

WELL = {"delivered": 9, "repeated": 0, "disordered": 0, "forged": 0}


def test_the_line_for_scripts():
    counts = ConversationCounts(settled=7, superseded=1, late=2, planned=9, received=WELL)
    assert counts.line == "conversation: settled=7 superseded=1 late=2 delivered=9 repeated=0 disordered=0"
    assert counts.disagreements() == []


@pytest.mark.parametrize("name", ["delivered", "repeated", "disordered", "forged"])
def test_whatever_differs_is_told(name):
    counts = ConversationCounts(7, 1, 2, 9, WELL | {name: 1})
    assert len(counts.disagreements()) == 1
