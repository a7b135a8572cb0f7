"""Strike without ending the first worker's process, whose memory a soak watches throughout."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.chaos.faults.workers import kill

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.scene import Scene


@contextmanager
def a_worker_is_killed(scene: Scene) -> Iterator[None]:
    """Kill any worker except the first, at a random moment."""
    _, *others = scene.stand.workers
    kill(scene, [scene.chance.choice(others)])
    yield


@contextmanager
def the_broker_is_killed(scene: Scene) -> Iterator[None]:
    """Kill the broker at a random moment while the workers run, and start it again on the same data."""
    broker, before = scene.stand.broker, scene.stand.broker.pid
    broker.kill()
    yield
    broker.start()
    scene.prove(f"node {before} has become {broker.pid}", has_struck=broker.pid != before)
