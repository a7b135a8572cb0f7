"""What is handed out when: new posts at their rate, retries when due, the end when all is settled."""

import threading

from simulator.sender.schedule import Attempt, Schedule
from simulator.traffic.event import Post

POSTS = [Post(number, "message", b"%d" % number) for number in range(3)]


class HandMovedClock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_posts_come_in_order_and_then_the_end():
    schedule = Schedule(iter(POSTS), rate=0)
    handed_out = []
    while attempt := schedule.next_attempt():
        handed_out.append(attempt.post)
        schedule.settle()
    assert handed_out == POSTS


def test_a_retry_comes_when_it_is_due_with_the_next_attempt_number():
    clock = HandMovedClock()
    schedule = Schedule(iter(POSTS), rate=0, clock=clock)
    first = schedule.next_attempt()
    schedule.retry(first, delay=5.0)
    assert schedule.next_attempt().post == POSTS[1]
    clock.now = 5.0
    assert schedule.next_attempt() == Attempt(POSTS[0], number=2)


def test_the_end_waits_for_what_is_in_flight():
    schedule = Schedule(iter(POSTS[:1]), rate=0)
    in_flight = schedule.next_attempt()
    ended = threading.Event()
    waiter = threading.Thread(target=lambda: (schedule.next_attempt(), ended.set()))
    waiter.start()
    assert not ended.wait(0.05)
    assert in_flight is not None
    schedule.settle()
    assert ended.wait(5.0)
    waiter.join()


def test_a_rate_spreads_the_posts():
    clock = HandMovedClock()
    schedule = Schedule(iter(POSTS), rate=10, clock=clock)
    assert schedule.next_attempt().post == POSTS[0]
    clock.now = 0.1
    assert schedule.next_attempt().post == POSTS[1]
    clock.now = 0.2
    assert schedule.next_attempt().post == POSTS[2]


def test_stop_ends_it_at_once():
    schedule = Schedule(iter(POSTS), rate=0)
    schedule.stop()
    assert schedule.next_attempt() is None
