"""Strike with more events than the workers take away, so that the threshold is crossed again and again."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.chaos.episodes import accepted_between, episodes_of, excess_of
from tests.chaos.faults.database import execute

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.driver import Watched
    from tests.chaos.scene import Scene
    from tests.chaos.stand import Stand

EVENTS = 25_000
"""Accepted in each strike; four strikes make 100,000."""

RATE = 1200.0
SLOW = {"OM_BATCH_EVENTS": "4", "OM_BATCH_SECONDS": "0"}
SLOW_COMMITS = ("ALTER SYSTEM SET commit_delay = 10000", "ALTER SYSTEM SET commit_siblings = 0")
USUAL_COMMITS = ("ALTER SYSTEM RESET commit_delay", "ALTER SYSTEM RESET commit_siblings")
"""Four events for each transaction and ten milliseconds for each commit: on any machine the two workers take
away no more than 800 events a second."""

USUAL = {"OM_BATCH_EVENTS": "100", "OM_BATCH_SECONDS": "0.02"}
WATERMARKS = {"OM_QUEUE_DEPTH_HIGH": "4000", "OM_QUEUE_DEPTH_LOW": "1500"}
DEFAULT_WATERMARKS = {"OM_QUEUE_DEPTH_HIGH": "50000", "OM_QUEUE_DEPTH_LOW": "30000"}

LEAST_REFILL = 1000
"""Events between two episodes: the way up from one watermark to the other is 2,500, less what two processes
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
    _set_commits(stand, SLOW_COMMITS)
    for worker in stand.workers:
        worker.reconfigure(**SLOW)
    stand.edge.reconfigure(**WATERMARKS)
    stand.wait_healthy()
    try:
        yield
    finally:
        _set_commits(stand, USUAL_COMMITS)
        for worker in stand.workers:
            worker.reconfigure(**USUAL)
        stand.edge.reconfigure(**DEFAULT_WATERMARKS)
        stand.wait_healthy()


def senders_that_obey(scene: Scene) -> None:
    """Send more than is taken away, and come again when told to."""
    _overload(scene, obeys=True)


def senders_that_do_not(scene: Scene) -> None:
    """Send more than is taken away, and go on whatever the answer."""
    _overload(scene, obeys=False)


def _set_commits(stand: Stand, statements: tuple[str, ...]) -> None:
    for statement in (*statements, "SELECT pg_reload_conf()"):
        execute(stand, statement)


def _overload(scene: Scene, *, obeys: bool) -> None:
    driver, ledger = scene.driver, scene.driver.ledger
    goal = len(ledger.owed) + EVENTS
    driver.obeys_retry_after = obeys
    with driver.watch() as seen:
        while len(ledger.owed) < goal:
            driver.watch_for(1.0)
    driver.obeys_retry_after = False
    _expect_orderly(seen)


def _expect_orderly(seen: Watched) -> None:
    assert set(seen.statuses) <= {200, 429}, (
        f"other answers than 200 and 429: {seen.statuses} {seen.failures}"
    )
    odd = {reply.retry_after for reply in seen.replies if reply.status == 429} - set(RETRY_AFTER)
    assert not odd, f"Retry-After outside of 1…30: {odd}"
    episodes = episodes_of(seen.replies)
    assert episodes, "the threshold was not crossed"
    longest = max(episode.seconds for episode in episodes)
    assert longest <= LONGEST_SECONDS, f"an episode of 429s lasted {longest:.0f} s"
    refills = accepted_between(seen.replies, episodes)
    assert all(refill >= LEAST_REFILL for refill in refills), f"429 came and went: {refills} events between"
    factor = excess_of(seen.replies, episodes)
    assert CLOSE[0] <= factor <= CLOSE[1], f"Retry-After is {factor:.2f} times the real drain time"
