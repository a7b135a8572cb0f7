"""Processed deliveries are acknowledged together, except those that are delayed."""

from types import SimpleNamespace

import pytest

from messaging.consuming.settling import ACKNOWLEDGE_SECONDS, Acknowledger, plan_acknowledgements


class Loop:
    """A fake event loop whose timers expire when the test calls pass_time."""

    def __init__(self):
        self.timers = []

    def call_later(self, seconds, callback):
        timer = SimpleNamespace(seconds=seconds, callback=callback)
        timer.cancel = lambda: setattr(timer, "callback", lambda: None)
        self.timers.append(timer)
        return timer

    def pass_time(self):
        timers, self.timers = self.timers, []
        for timer in timers:
            timer.callback()


@pytest.fixture
def loop():
    return Loop()


@pytest.fixture
def open_tags():
    return set()


@pytest.fixture
def acknowledged():
    return []


@pytest.fixture
def acknowledger(loop, open_tags, acknowledged):
    return Acknowledger(loop, 4, open_tags, lambda tag, multiple: acknowledged.append((tag, multiple)))


def test_single_deliveries_are_acknowledged_together_after_a_short_delay(acknowledger, loop, acknowledged):
    for tag in (1, 2, 3):
        acknowledger.add([tag])
    assert acknowledged == []
    assert [timer.seconds for timer in loop.timers] == [ACKNOWLEDGE_SECONDS]
    loop.pass_time()
    assert acknowledged == [(3, True)]


def test_deliveries_are_acknowledged_at_once_when_enough_are_processed(acknowledger, loop, acknowledged):
    acknowledger.add([1])
    acknowledger.add([2, 3, 4])
    assert acknowledged == [(4, True)]
    loop.pass_time()
    acknowledger.add([5])
    loop.pass_time()
    assert acknowledged == [(4, True), (5, True)]


def test_a_delayed_delivery_is_acknowledged_together_with_a_later_delivery(
    acknowledger, loop, open_tags, acknowledged
):
    open_tags.add(1)
    acknowledger.add([2])
    open_tags.remove(1)
    acknowledger.add([1])
    loop.pass_time()
    assert acknowledged == [(2, True)]


def test_deliveries_are_not_acknowledged_on_a_lost_channel(acknowledger, loop, acknowledged):
    acknowledger.add([1])
    acknowledger.forget()
    loop.pass_time()
    acknowledger.flush()
    assert acknowledged == []


@pytest.mark.parametrize(
    ("tags", "open_tags", "expected"),
    [
        ([], set(), []),
        ([1, 2, 3], set(), [(3, True)]),
        ([1, 2, 4, 5], {3}, [(2, True), (4, False), (5, False)]),
        ([2, 3], {1}, [(2, False), (3, False)]),
        ([2, 3], {9}, [(3, True)]),
        ([7], {5, 9}, [(7, False)]),
        ([5], {7}, [(5, True)]),
    ],
)
def test_an_acknowledgement_never_covers_a_delivery_that_is_still_open(tags, open_tags, expected):
    assert plan_acknowledgements(tags, open_tags) == expected
