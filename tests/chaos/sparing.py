"""Strike, and spare the first worker's process: a soak watches its memory from beginning to end."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.chaos.faults.workers import kill

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.scene import Scene


@contextmanager
def a_worker_is_killed(scene: Scene) -> Iterator[None]:
    """Kill another than the first at any moment."""
    _, *others = scene.stand.workers
    kill(scene, [scene.chance.choice(others)])
    yield


@contextmanager
def the_broker_is_killed(scene: Scene) -> Iterator[None]:
    """Kill it at any moment and start it on the same data; no worker is stopped first to fill its queue."""
    broker, before = scene.stand.broker, scene.stand.broker.pid
    broker.kill()
    yield
    broker.start()
    scene.prove(f"node {before} has become {broker.pid}", has_struck=broker.pid != before)
