"""What is durable is acknowledged together, and nothing else with it."""

import pytest

from messaging.consuming.acknowledging import ACKNOWLEDGE_SECONDS, Acknowledger


class Timer:
    """What a loop is asked to call later."""

    def __init__(self, seconds, callback):
        self.seconds = seconds
        self.callback = callback
        self.is_cancelled = False

    def cancel(self):
        self.is_cancelled = True


class Loop:
    """A loop whose time a test lets pass."""

    def __init__(self):
        self.timers = []

    def call_later(self, seconds, callback):
        self.timers.append(Timer(seconds, callback))
        return self.timers[-1]

    def pass_time(self):
        timers, self.timers = self.timers, []
        for timer in timers:
            if not timer.is_cancelled:
                timer.callback()


@pytest.fixture
def loop():
    return Loop()


@pytest.fixture
def open_tags():
    return set()


@pytest.fixture
def told():
    return []


@pytest.fixture
def acknowledger(loop, open_tags, told):
    return Acknowledger(loop, 4, open_tags, lambda tag, multiple: told.append((tag, multiple)))


def test_single_deliveries_are_acknowledged_together_a_little_later(acknowledger, loop, told):
    for tag in (1, 2, 3):
        acknowledger.add([tag])
    assert told == []
    assert [timer.seconds for timer in loop.timers] == [ACKNOWLEDGE_SECONDS]
    loop.pass_time()
    assert told == [(3, True)]


def test_as_many_as_are_enough_are_acknowledged_at_once(acknowledger, loop, told):
    acknowledger.add([1])
    acknowledger.add([2, 3, 4])
    assert told == [(4, True)]
    loop.pass_time()
    acknowledger.add([5])
    loop.pass_time()
    assert told == [(4, True), (5, True)]


def test_what_is_put_off_meanwhile_is_not_covered(acknowledger, loop, open_tags, told):
    acknowledger.add([1, 3])
    open_tags.add(2)
    loop.pass_time()
    assert told == [(1, True), (3, False)]


def test_one_that_was_put_off_is_acknowledged_after_those_that_came_later(
    acknowledger, loop, open_tags, told
):
    open_tags.add(1)
    acknowledger.add([2])
    open_tags.remove(1)
    acknowledger.add([1])
    loop.pass_time()
    assert told == [(2, True)]


def test_nothing_is_acknowledged_of_a_channel_that_is_lost(acknowledger, loop, told):
    acknowledger.add([1])
    acknowledger.forget()
    loop.pass_time()
    acknowledger.flush()
    assert told == []
