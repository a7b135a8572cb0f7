"""Strike with more events than the workers take away, so that the threshold is crossed again and again."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.chaos.episodes import accepted_between, episodes_of, excess_of
from tests.chaos.stand import FALL_BEHIND

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.scene import Scene
    from tests.chaos.stand import Stand
    from tests.stand.records import Seen

EVENTS = 40_000
"""Accepted in each strike, in which the threshold is crossed some times; four strikes make 160,000."""

STRIKE_SECONDS = 150.0
"""A machine that takes longer for them has crossed it often enough."""

RATE = 600.0
"""New events; each that is refused comes again up to five times, so that many times as many tries come."""

SLOW = {"OM_BATCH_EVENTS": "4", "OM_BATCH_SECONDS": "0"}
SLOW_COMMITS = ("ALTER SYSTEM SET commit_delay = 25000", "ALTER SYSTEM SET commit_siblings = 0")
USUAL_COMMITS = ("ALTER SYSTEM RESET commit_delay", "ALTER SYSTEM RESET commit_siblings")
"""Four events for each transaction and 25 milliseconds for each commit: on any machine the two workers take
away no more than 320 events a second."""

USUAL = {"OM_BATCH_EVENTS": "100", "OM_BATCH_SECONDS": "0.02"}
WATERMARKS = {"OM_QUEUE_DEPTH_HIGH": "12000", "OM_QUEUE_DEPTH_LOW": "4000"}

LEAST_REFILL = 3000
"""Events between two episodes: the way up from one watermark to the other is 8,000, less what two processes
that each count for both of them may err."""

LONGEST_SECONDS = 60.0
"""An episode that lasts longer is no episode; draining from one watermark to the other takes some seconds."""

RETRY_AFTER = range(1, 31)
CLOSE = (1 / 3, 3.0)
"""How far the typical Retry-After may be from the time that the episode went on, as a factor.

The rate is an average over the past, the answer is rounded to seconds and stretched by up to a half.
"""


@contextmanager
def with_slow_workers(stand: Stand) -> Iterator[None]:
    """Slow the workers down, and let the edge hold back early."""
    stand.execute(*SLOW_COMMITS, "SELECT pg_reload_conf()")
    stand.reconfigure_workers(**SLOW)
    stand.reconfigure_edge(**WATERMARKS)
    try:
        yield
    finally:
        stand.execute(*USUAL_COMMITS, "SELECT pg_reload_conf()")
        stand.reconfigure_workers(**USUAL)
        stand.reconfigure_edge(**FALL_BEHIND)


@contextmanager
def senders_that_obey(scene: Scene) -> Iterator[None]:
    """Send more than is taken away, and come again when told to."""
    scene.load.heed_retry_after(heed=True)
    with _overloaded(scene):
        yield
    scene.load.heed_retry_after(heed=False)


@contextmanager
def senders_that_do_not(scene: Scene) -> Iterator[None]:
    """Send more than is taken away, and come again when the policy says, whatever the answer."""
    with _overloaded(scene):
        yield


@contextmanager
def _overloaded(scene: Scene) -> Iterator[None]:
    load, usual = scene.load, scene.load.rate
    goal, deadline = len(load.answered) + EVENTS, time.monotonic() + STRIKE_SECONDS
    with load.watch() as seen:
        load.change_rate(RATE)
        while len(load.answered) < goal and time.monotonic() < deadline:
            time.sleep(1.0)
        load.change_rate(usual)
        yield
    _expect_orderly(seen)
    refused = sum(each.status == 429 for each in seen.tries)
    scene.prove(f"{refused} tries were refused", has_struck=refused > 0)


def _expect_orderly(seen: Seen) -> None:
    odd = {each.retry_after for each in seen.tries if each.status == 429} - set(RETRY_AFTER)
    assert not odd, f"Retry-After outside of 1…30: {odd}"
    episodes = episodes_of(seen.tries)
    assert len(episodes) > 1, "the threshold was not crossed twice"
    longest = max(episode.seconds for episode in episodes)
    assert longest <= LONGEST_SECONDS, f"an episode of 429s lasted {longest:.0f} s"
    refills = accepted_between(seen.tries, episodes)
    assert all(refill >= LEAST_REFILL for refill in refills), f"429 came and went: {refills} events between"
    factor = excess_of(seen.tries, episodes)
    assert CLOSE[0] <= factor <= CLOSE[1], f"Retry-After is {factor:.2f} times the real drain time"
