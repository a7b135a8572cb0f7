"""Inject two unrelated faults at once, chosen by the seed."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.chaos.faults import broker, database, edge, workers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.scene import Scene

BEFORE_THE_QUEUE = (edge.an_edge_process_is_killed, edge.the_edge_is_reloaded, edge.the_edge_master_is_killed)
THE_QUEUE = (broker.the_broker_is_frozen_and_killed, broker.all_connections_are_closed, broker.a_memory_alarm)
BEHIND_THE_QUEUE = (workers.a_worker_is_killed, database.the_database_is_killed)


@contextmanager
def two_at_once(scene: Scene) -> Iterator[None]:
    """Strike two randomly chosen parts of the service at once.

    The broker is repaired first, because the other parts of the service wait for it.
    """
    drawn = scene.chance.sample((BEFORE_THE_QUEUE, BEHIND_THE_QUEUE, THE_QUEUE), 2)
    places = sorted(drawn, key=lambda place: place is THE_QUEUE)
    first, second = (scene.chance.choice(place) for place in places)
    before = len(scene.proofs)
    with first(scene), second(scene):
        yield
    scene.prove("both struck", has_struck=len(scene.proofs) - before > 1)
