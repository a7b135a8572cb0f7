import pytest

from workers.settle.pauses import pause_refused, pause_unanswered


@pytest.mark.parametrize(
    ("attempts", "asked", "seconds"),
    [(1, 0.0, 1.0), (3, 0.0, 4.0), (1, 5.0, 5.0), (10, 0.0, 60.0), (1, 120.0, 60.0)],
)
def test_an_answer_is_waited_for_no_longer_than_a_minute(attempts, asked, seconds):
    assert pause_unanswered(attempts, asked) == seconds


@pytest.mark.parametrize(
    ("attempts", "seconds"), [(1, 60.0), (2, 120.0), (5, 960.0), (9, 14_400.0), (10_000, 14_400.0)]
)
def test_a_conversation_that_is_refused_is_asked_about_ever_more_seldom(attempts, seconds):
    assert pause_refused(attempts, is_of_credentials=False) == seconds
    assert pause_refused(attempts, is_of_credentials=True) == 60.0
