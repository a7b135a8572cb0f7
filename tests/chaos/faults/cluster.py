"""Strike a cluster of three brokers, one node after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.chaos.cluster_stand import ClusterStand
from tests.chaos.faults.broker import expect_all_answered
from tests.chaos.service import wait_until

if TYPE_CHECKING:
    from tests.chaos.scene import Scene
    from tests.servers import PrivateRabbitMQ

FAIL_OVER_SECONDS = 30.0
COMPLETE_SECONDS = 60.0


def one_node_is_killed_then_another(scene: Scene) -> None:
    """Kill a node under load; when it is back and has caught up, kill another."""
    assert isinstance(scene.stand, ClusterStand)
    with scene.driver.watch() as seen:
        for broker in scene.chance.sample(scene.stand.brokers, 2):
            _kill(scene, scene.stand, broker)
    expect_all_answered(seen)


def _kill(scene: Scene, stand: ClusterStand, broker: PrivateRabbitMQ) -> None:
    others = [other for other in stand.brokers if other is not broker]
    broker.kill()
    stand.queues.management_url = others[0].management_url
    scene.wait(1.0, 3.0)
    stand.wait_healthy(FAIL_OVER_SECONDS)
    scene.wait(1.0, 3.0)
    broker.start()
    wait_until(stand.is_complete, COMPLETE_SECONDS, "all three nodes hold the queue again")
