"""Inject overload: more events than the workers can process, so the watermarks are crossed repeatedly."""

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
"""How often each strike crosses both watermarks, upwards and downwards."""

STRIKE_SECONDS = 240.0
"""The time limit for a strike, in seconds. Crossing the watermarks in both directions takes about 25 s, and
three times as long if other servers slow the workers down."""

LOOK_SECONDS = 3.0
FILL_RATE = 600.0
RATE = 200.0
"""New events per second, after a faster start that lasts until the first refusals.

In addition, refused events are retried up to five times, many of them in the very second in which the depth
reaches the low watermark.
"""

CALM_RATE = 50.0
"""Events per second before and after a strike: fewer than the workers can process."""

SLOW = {"OM_BATCH_EVENTS": "2", "OM_BATCH_SECONDS": "0"}
SLOW_COMMITS = ("ALTER SYSTEM SET commit_delay = 25000", "ALTER SYSTEM SET commit_siblings = 0")
USUAL_COMMITS = ("ALTER SYSTEM RESET commit_delay", "ALTER SYSTEM RESET commit_siblings")
"""USUAL_COMMITS undoes SLOW_COMMITS. With a delay of 25 milliseconds per commit and two events per
transaction, the two workers process at most 160 events per second on any machine."""

USUAL = {"OM_BATCH_EVENTS": "100", "OM_BATCH_SECONDS": "0.02"}
HIGH = 4000
WATERMARKS = {"OM_QUEUE_DEPTH_HIGH": str(HIGH), "OM_QUEUE_DEPTH_LOW": "1500"}

LEAST_REFILL = 1000
"""The minimum number of events that must be accepted between two episodes of refusals.

The watermarks are 2,500 events apart, but each of the edge's two processes can only estimate how many events
the other process accepts.
"""

LONGEST_SECONDS = 120.0
"""The longest permitted episode, in seconds. Draining from one watermark to the other takes far less time."""

RETRY_AFTER = range(1, 31)
CLOSE = (1 / 3, 3.0)
"""The allowed range for the median ratio of Retry-After to the time from the answer to the episode's end.

The ratio cannot be exact: the drain rate is an average over the past, and Retry-After is rounded to seconds
and stretched by up to a half.
"""


@contextmanager
def with_slow_workers(stand: Stand) -> Iterator[None]:
    """Slow the workers down, and make the edge refuse events at a lower depth."""
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
    """Send more events than the workers can process, and retry each refused event after its Retry-After."""
    scene.load.heed_retry_after(heed=True)
    with _overloaded(scene):
        yield
    scene.load.heed_retry_after(heed=False)


@contextmanager
def senders_that_do_not(scene: Scene) -> Iterator[None]:
    """Send more than the workers can process, and retry on the platform's schedule despite Retry-After."""
    with _overloaded(scene):
        yield


@contextmanager
def _overloaded(scene: Scene) -> Iterator[None]:
    load, view, begin = scene.load, scene.stand.view, time.monotonic()
    with load.watch() as seen:
        load.change_rate(FILL_RATE)
        scene.await_proof(
            "more events wait than the high watermark allows, as the broker or a 429 shows",
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
