"""Strike the exchanges, queues, bindings and rights in the broker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.chaos.damage import EVENTS, Damage
from tests.chaos.faults.broker import CTL_SECONDS, expect_all_answered
from tests.chaos.service import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.chaos.scene import Scene

NOTICED_SECONDS = 20.0
NEARLY_EMPTY = 100
"""Deliveries in the queue when it is deleted: what lies there for longer than in the journal goes with it."""

MALFORMED = 20
DEAD_LETTERS = "open-messaging.dead-letters"


def the_exchange_is_deleted(scene: Scene) -> None:
    """Delete the exchange that the edge publishes to."""
    _take_away(scene, lambda damage: damage.delete_exchange("open-messaging"))


def the_queue_is_deleted(scene: Scene) -> None:
    """Delete the events queue under its consumers."""
    queues = scene.stand.queues
    wait_until(lambda: (queues.depth("events") or NEARLY_EMPTY) < NEARLY_EMPTY, 60, "the workers keep up")
    _take_away(scene, lambda damage: damage.delete_queue(EVENTS))


def the_binding_is_deleted(scene: Scene) -> None:
    """Delete the binding: events go to the alternate exchange, and the workers read there as well."""
    stand = scene.stand
    logs = stand.watch_logs()
    with scene.driver.watch() as seen:
        Damage(stand.broker.management_url).unbind_events()
        wait_until(lambda: logs.tell("deliveries_unrouted"), NOTICED_SECONDS, "a worker says so")
        scene.wait(1.0, 3.0)
        stand.omctl("setup")
        stand.wait_healthy(60)
    expect_all_answered(seen)


def a_policy_is_removed(scene: Scene) -> None:
    """Put a policy on the queue and remove it: nothing that keeps an event safe depends on one."""
    damage = Damage(scene.stand.broker.management_url)
    with scene.driver.watch() as seen:
        damage.put_policy()
        scene.wait(0.5, 2.0)
        damage.remove_policy()
        scene.wait(0.5, 2.0)
        scene.stand.wait_healthy(60)
    expect_all_answered(seen)


def the_permissions_are_removed(scene: Scene) -> None:
    """Take the user's rights in the virtual host, then give them back."""
    stand = scene.stand
    damage = Damage(stand.broker.management_url)
    with scene.driver.watch() as seen:
        damage.take_permissions()
        if scene.chance.random() < 0.5:
            stand.broker.ctl("close_all_connections", "chaos", timeout=CTL_SECONDS)
        scene.wait(3.0, 8.0)
        damage.give_permissions()
        stand.wait_healthy(60)
    expect_all_answered(seen)


def the_dead_letter_exchange_is_deleted(scene: Scene) -> None:
    """Dead-letter events while there is no exchange to send them to."""
    _bury(scene, lambda damage: damage.delete_exchange(DEAD_LETTERS))


def the_dead_letter_queue_is_deleted(scene: Scene) -> None:
    """Dead-letter events while there is no queue to keep them."""
    _bury(scene, lambda damage: damage.delete_queue(DEAD_LETTERS))


def _take_away(scene: Scene, take: Callable[[Damage], None]) -> None:
    stand = scene.stand
    with scene.driver.watch() as seen:
        take(Damage(stand.broker.management_url))
        wait_until(
            lambda: not stand.edge_sees_broker(), NOTICED_SECONDS, "the edge says that something is wrong"
        )
        wait_until(
            lambda: stand.health().get("problems"), NOTICED_SECONDS, "the health report names a problem"
        )
        scene.wait(1.0, 3.0)
        stand.omctl("setup")
        stand.wait_healthy(60)
    expect_all_answered(seen)


def _bury(scene: Scene, take: Callable[[Damage], None]) -> None:
    stand = scene.stand
    queues = stand.queues
    take(Damage(stand.broker.management_url))
    before = queues.depth("dead-letters") or 0
    for body in scene.driver.malformed_bodies(MALFORMED):
        assert scene.driver.post_extra(body).status == 200
    scene.wait(2.0, 4.0)
    assert stand.omctl("check", check=False).returncode != 0, "omctl check finds nothing wrong"
    stand.omctl("setup")
    wait_until(
        lambda: (queues.depth("dead-letters") or 0) >= before + MALFORMED,
        90,
        f"{MALFORMED} dead letters were held and are delivered now",
    )
