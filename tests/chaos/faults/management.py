"""Strike the management API, from which the edge learns the depth of the queue."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.chaos.fake_management import Mood
from tests.chaos.faults.broker import expect_all_answered, expect_as_fast, is_as_fast
from tests.chaos.service import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.scene import Scene
    from tests.chaos.stand import Stand

NORMAL_SECONDS = 8.0
ATTEMPTS = 3
WATERMARKS = {"OM_QUEUE_DEPTH_HIGH": "3000", "OM_QUEUE_DEPTH_LOW": "1000"}
DEFAULT_WATERMARKS = {"OM_QUEUE_DEPTH_HIGH": "50000", "OM_QUEUE_DEPTH_LOW": "30000"}
SHED_SECONDS = 60.0


@contextmanager
def in_front_of_the_api(stand: Stand) -> Iterator[None]:
    """Put a server between the edge and the API that answers as the mood takes it."""
    stand.edge.reconfigure(OM_MANAGEMENT_URL=stand.fake_management.url)
    stand.wait_healthy()
    try:
        yield
    finally:
        stand.fake_management.mood = Mood.HONEST
        stand.edge.reconfigure(OM_MANAGEMENT_URL=stand.broker.management_url)
        stand.wait_healthy()


def the_api_hangs(scene: Scene) -> None:
    """Accept connections and never answer, for longer than a sample is believed."""
    _in_mood(scene, Mood.HUNG, 16.0, 20.0)


def the_api_refuses(scene: Scene) -> None:
    """Answer 503 to everything."""
    _in_mood(scene, Mood.REFUSING, 8.0, 10.0)


def the_api_talks_nonsense(scene: Scene) -> None:
    """Answer 200 with what is no answer."""
    _in_mood(scene, Mood.NONSENSE, 8.0, 10.0)


def the_api_answers_zero(scene: Scene) -> None:
    """Claim that the queue is empty while it fills up: the broker's own word counts."""
    fake = scene.stand.fake_management
    scene.stand.edge.reconfigure(**WATERMARKS)
    fake.mood = Mood.ZERO
    scene.stand.pause_workers()
    shed_by = time.monotonic() + SHED_SECONDS
    while 429 not in scene.driver.watch_for(1.0).statuses:
        assert time.monotonic() < shed_by, "the queue grew past the watermark and nobody was told 429"
    scene.stand.resume_workers()
    fake.mood = Mood.HONEST
    wait_until(
        lambda: set(scene.driver.watch_for(1.0).statuses) == {200}, SHED_SECONDS, "senders are let in again"
    )
    scene.stand.edge.reconfigure(**DEFAULT_WATERMARKS)
    scene.stand.wait_healthy()


def _in_mood(scene: Scene, mood: Mood, least: float, most: float) -> None:
    """Compare with the normal, again where it was slower: noise passes, a cost in every request does not."""
    for attempts_left in reversed(range(ATTEMPTS)):
        normal = scene.driver.watch_for(NORMAL_SECONDS)
        scene.stand.fake_management.mood = mood
        with scene.driver.watch() as seen:
            scene.wait(least, most)
        scene.stand.fake_management.mood = Mood.HONEST
        expect_all_answered(seen)
        if is_as_fast(seen, normal) or not attempts_left:
            break
    expect_as_fast(seen, normal)
