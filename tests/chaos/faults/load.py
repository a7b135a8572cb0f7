"""Faults of load: more events than the workers can process, so that the watermarks are crossed repeatedly."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.chaos.broker_view import EVENTS
from tests.chaos.episodes import accepted_between, episodes_of, excess_of
from tests.chaos.stand import FALL_BEHIND

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.scene import Scene
    from tests.chaos.stand import Stand
    from tests.stand.load import Load
    from tests.stand.records import Seen

CROSSED = 2
"""How often each strike crosses the watermarks up and down."""

STRIKE_SECONDS = 240.0
"""Seconds. A crossing takes about 25, and three times as long if other servers slow the workers down."""

LOOK_SECONDS = 3.0
FILL_RATE = 600.0
RATE = 200.0
"""New events a second, after a fast start until the first refusals. Refused events are retried up to five
times, many of them in the very second in which the low watermark is reached."""

CALM_RATE = 50.0
"""Events a second before and after a strike, which is fewer than the workers process."""

SLOW = {"OM_BATCH_EVENTS": "2", "OM_BATCH_SECONDS": "0"}
SLOW_COMMITS = ("ALTER SYSTEM SET commit_delay = 25000", "ALTER SYSTEM SET commit_siblings = 0")
USUAL_COMMITS = ("ALTER SYSTEM RESET commit_delay", "ALTER SYSTEM RESET commit_siblings")
"""Two events for each transaction and 25 milliseconds for each commit: on any machine the two workers
process at most 160 events a second."""

USUAL = {"OM_BATCH_EVENTS": "100", "OM_BATCH_SECONDS": "0.02"}
HIGH = 4000
WATERMARKS = {"OM_QUEUE_DEPTH_HIGH": str(HIGH), "OM_QUEUE_DEPTH_LOW": "1500"}

LEAST_REFILL = 1000
"""Events between two episodes: from one watermark to the other there are 2,500, less the error of two
processes that each count for both."""

LONGEST_SECONDS = 120.0
"""Seconds. Draining from one watermark to the other takes only a few."""

RETRY_AFTER = range(1, 31)
CLOSE = (1 / 3, 3.0)
"""The factor by which the typical Retry-After may differ from the time that the episode still lasted.

The rate is an average over the past, and the answer is rounded to seconds and stretched by up to a half.
"""


@contextmanager
def with_slow_workers(stand: Stand) -> Iterator[None]:
    """Slow the workers down, and let the edge refuse events early."""
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
    """Send more than the workers process, and retry when Retry-After says."""
    scene.load.heed_retry_after(heed=True)
    with _overloaded(scene):
        yield
    scene.load.heed_retry_after(heed=False)


@contextmanager
def senders_that_do_not(scene: Scene) -> Iterator[None]:
    """Send more than the workers process, and retry by the policy, whatever the answer."""
    with _overloaded(scene):
        yield


@contextmanager
def _overloaded(scene: Scene) -> Iterator[None]:
    load, view, begin = scene.load, scene.stand.view, time.monotonic()
    with load.watch() as seen:
        load.change_rate(FILL_RATE)
        scene.await_proof(
            "more has come than may wait, by the broker's word or the senders'",
            lambda: load.latest(1.0)[429] or view.depth(EVENTS) > HIGH,
        )
        scene.wait_until(lambda: load.latest(0.5)[429], "senders are told 429")
        load.change_rate(RATE)
        while _crossings(load, begin) < CROSSED and time.monotonic() < begin + STRIKE_SECONDS:
            time.sleep(LOOK_SECONDS)
        load.change_rate(CALM_RATE)
        yield
    _expect_orderly(seen)
    refused = sum(each.status == 429 for each in seen.tries)
    scene.prove(f"{refused} tries were refused", has_struck=refused > 0)


def _crossings(load: Load, begin: float) -> int:
    return len(episodes_of(each for each in load.seen().tries if each.due >= begin))


def _expect_orderly(seen: Seen) -> None:
    odd = {each.retry_after for each in seen.tries if each.status == 429} - set(RETRY_AFTER)
    assert not odd, f"Retry-After outside of 1…30: {odd}"
    episodes = episodes_of(seen.tries)
    assert len(episodes) >= CROSSED, f"the threshold was crossed {len(episodes)} times"
    longest = max(episode.seconds for episode in episodes)
    assert longest <= LONGEST_SECONDS, f"an episode of 429s lasted {longest:.0f} s"
    refills = accepted_between(seen.tries, episodes)
    assert all(refill >= LEAST_REFILL for refill in refills), f"429 came and went: {refills} events between"
    factor = excess_of(seen.tries, episodes)
    assert CLOSE[0] <= factor <= CLOSE[1], f"Retry-After is {factor:.2f} times the real drain time"
