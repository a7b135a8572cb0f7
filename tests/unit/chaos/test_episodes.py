"""What the suite makes of answers over time."""

from tests.chaos.episodes import episodes_of, excess_of
from tests.stand.records import Tried


def replies(*answers):
    return [
        Tried(1, at, at, at, status, retry_after or 0, 1, is_final=False)
        for at, status, retry_after in answers
    ]


def test_an_episode_lasts_from_the_first_429_to_the_first_200_after_the_last():
    answers = replies((1, 200, None), (2, 429, 3), (3, 429, 2), (5, 200, None), (7, 200, None))
    assert [(episode.start, episode.end) for episode in episodes_of(answers)] == [(2, 5)]


def test_processes_that_disagree_for_a_moment_make_one_episode():
    answers = replies((2, 429, 3), (2.1, 200, None), (2.4, 429, 2), (4, 200, None), (6, 200, None))
    assert [(episode.start, episode.end) for episode in episodes_of(answers)] == [(2, 4)]


def test_an_episode_that_goes_on_is_left_out():
    assert episodes_of(replies((2, 429, 3), (3, 429, 3))) == []


def test_a_retry_after_of_twice_the_rest_of_the_episode_is_told_as_two():
    answers = replies((2, 429, 8), (6, 200, None), (8, 200, None))
    assert excess_of(answers, episodes_of(answers)) == 2
