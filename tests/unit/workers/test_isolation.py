from functools import partial

import pytest

from messaging.errors import RejectedEventError, RetryLaterError, StatementRefusedError
from workers.isolation import isolate


class Work:
    """Work that fails if a faulty item is among its items."""

    def __init__(self, faulty, error=ValueError):
        self.faulty, self.error = faulty, error
        self.calls, self.done, self.faults = 0, [], []

    def __call__(self, items):
        self.calls += 1
        if self.faulty & set(items):
            raise self.error("at fault")
        self.done += items

    def set_aside(self, item, error):
        self.faults.append((item, type(error)))


@pytest.mark.parametrize(
    ("items", "faulty", "calls"),
    [
        ("", "", 0),
        ("a", "", 1),
        ("a", "a", 1),
        ("abcdefgh", "", 1),
        ("abcdefgh", "a", 7),
        ("abcdefgh", "d", 7),
        ("abcde", "e", 7),
        ("abcdefgh", "ah", 11),
        ("abcdefgh", "abcdefgh", 15),
    ],
)
@pytest.mark.parametrize(
    "make_error", [ValueError, partial(RejectedEventError, "code"), StatementRefusedError]
)
def test_only_the_items_at_fault_are_set_aside(items, faulty, calls, make_error):
    work = Work(set(faulty), make_error)
    isolate(items, work, work.set_aside)
    assert work.faults == [(item, type(make_error(""))) for item in items if item in faulty]
    assert work.done == [item for item in items if item not in faulty]
    assert work.calls == calls


def test_an_outage_ends_the_call_and_sets_no_item_aside():
    work = Work({"c"}, RetryLaterError)
    with pytest.raises(RetryLaterError):
        isolate("abcd", work, work.set_aside)
    assert (work.calls, work.done, work.faults) == (1, [], [])


def test_an_outage_while_an_item_is_set_aside_ends_the_call():
    work = Work({"b"})

    def fail(item, error):
        raise RetryLaterError("away")

    with pytest.raises(RetryLaterError):
        isolate("abcd", work, fail)
    assert work.done == ["a"]
