"""Inject faults into the management API, from which the edge gets the queue's depth."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.chaos.broker_view import EVENTS
from tests.chaos.fake_management import Mood
from tests.chaos.faults.broker import NORMAL_SECONDS, expect_as_fast
from tests.chaos.stand import FALL_BEHIND

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.scene import Scene
    from tests.chaos.stand import Stand

HIGH = 5000
WATERMARKS = {"OM_QUEUE_DEPTH_HIGH": str(HIGH), "OM_QUEUE_DEPTH_LOW": "2000"}
FILL_RATE = 400.0
"""Events per second: enough to exceed the high watermark after 13 seconds, even on a slow machine."""


@contextmanager
def in_front_of_the_api(stand: Stand) -> Iterator[None]:
    """Put a fake API between the edge and the management API. Strikes change the fake API's behaviour."""
    stand.reconfigure_edge(OM_MANAGEMENT_URL=stand.fake_management.url)
    try:
        yield
    finally:
        stand.fake_management.mood = Mood.HONEST
        stand.reconfigure_edge(OM_MANAGEMENT_URL=stand.broker.management_url)


@contextmanager
def the_api_hangs(scene: Scene) -> Iterator[None]:
    """Make the API accept connections but never answer, for longer than a sample is valid."""
    with _in_mood(scene, Mood.HUNG):
        yield


@contextmanager
def the_api_refuses(scene: Scene) -> Iterator[None]:
    """Make the API answer every request with 503."""
    with _in_mood(scene, Mood.REFUSING):
        yield


@contextmanager
def the_api_talks_nonsense(scene: Scene) -> Iterator[None]:
    """Make the API answer with 200 and a body that is not a valid report."""
    with _in_mood(scene, Mood.NONSENSE):
        yield


@contextmanager
def the_api_answers_zero(scene: Scene) -> Iterator[None]:
    """Make the API report an empty queue while the queue fills up.

    The edge must use the depth that the broker itself reports over AMQP.
    """
    stand, fake = scene.stand, scene.stand.fake_management
    stand.reconfigure_edge(**WATERMARKS)
    before, usual = fake.answered[Mood.ZERO], scene.load.rate
    fake.mood = Mood.ZERO

    def is_full() -> object:
        # A 429 also proves this, because the edge adds newly published events to the last known depth.
        return scene.load.latest(1.0)[429] or stand.view.depth(EVENTS) > HIGH

    with stand.paused_workers():
        scene.load.change_rate(max(FILL_RATE, usual))
        scene.await_proof(
            "the API reports a full queue as empty",
            lambda: fake.answered[Mood.ZERO] > before and is_full(),
        )
        # For longer than the time between two of the API's reports, each of which would admit senders again.
        scene.wait_until(lambda: set(scene.load.latest(3.0)) == {429}, "senders are told 429")
        scene.load.change_rate(usual)
        yield
    fake.mood = Mood.HONEST
    scene.wait_until(lambda: set(scene.load.latest(1.0)) == {200}, "senders are let in again")
    stand.reconfigure_edge(**FALL_BEHIND)


@contextmanager
def _in_mood(scene: Scene, mood: Mood) -> Iterator[None]:
    """Set a mood for a `with` block, and compare typical latencies within the block, before it and after it.

    This comparison tolerates noise, but fails if every request takes longer.
    """
    fake = scene.stand.fake_management
    normal = scene.load.watch_for(NORMAL_SECONDS).latency(50)
    before = fake.answered[mood]
    fake.mood = mood
    with scene.load.watch() as seen:
        yield
    fake.mood = Mood.HONEST
    told = fake.answered[mood] - before
    scene.prove(f"the edge asked {told} times and was answered: {mood.value}", has_struck=told > 0)
    again = scene.load.watch_for(NORMAL_SECONDS).latency(50)
    expect_as_fast(seen.latency(50), max(normal, again))
