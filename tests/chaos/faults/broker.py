"""Strike the broker: killed, stopped, alarmed, frozen."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.chaos.service import wait_until

if TYPE_CHECKING:
    from tests.chaos.driver import Watched
    from tests.chaos.scene import Scene

OUTAGE_SECONDS = 60.0
NORMAL_SECONDS = 15.0
FREEZE_SECONDS = 30.0
PROMISED_SECONDS = 0.01
"""Single-digit milliseconds: below it a latency is normal, whatever it was before."""

CTL_SECONDS = 180.0
"""rabbitmqctl is an Erlang machine of its own, which may starve while others boot beside it."""

FALLS_BEHIND = 2000
"""Deliveries in the queue when the broker is killed."""

ALARM_ON = {
    "memory": ("set_vm_memory_high_watermark", "absolute", "1"),
    "disk": ("set_disk_free_limit", "100000GB"),
}
ALARM_OFF = {
    "memory": ("set_vm_memory_high_watermark", "absolute", "1GB"),
    "disk": ("set_disk_free_limit", "10MB"),
}


def the_broker_is_killed(scene: Scene) -> None:
    """Kill it with thousands of deliveries in the queue, and start it on the same data."""
    stand = scene.stand
    stand.pause_workers()
    wait_until(lambda: (stand.queues.depth("events") or 0) >= FALLS_BEHIND, 60, "the queue fills up")
    with scene.driver.watch() as seen:
        stand.broker.kill()
        scene.wait(0.5, 3.0)
        stand.broker.start()
    stand.resume_workers()
    stand.wait_healthy()
    expect_all_answered(seen)


def the_broker_is_away_for_a_minute(scene: Scene) -> None:
    """Stop it for longer than the platform's patience; every request is answered as fast as before."""
    normal = scene.driver.watch_for(NORMAL_SECONDS)
    scene.stand.broker.stop()
    outage = scene.driver.watch_for(OUTAGE_SECONDS + scene.chance.uniform(0.0, 5.0))
    scene.stand.broker.start()
    scene.stand.wait_healthy()
    expect_all_answered(outage)
    if not is_as_fast(outage, normal):
        # What slows the machine down now may not have been there before.
        normal = scene.driver.watch_for(NORMAL_SECONDS)
    expect_as_fast(outage, normal)


def all_connections_are_closed(scene: Scene) -> None:
    """Have the broker close every connection it has."""
    with scene.driver.watch() as seen:
        scene.stand.broker.ctl("close_all_connections", "chaos", timeout=CTL_SECONDS)
        scene.stand.wait_healthy()
    expect_all_answered(seen)


def a_memory_alarm(scene: Scene) -> None:
    """Raise a memory alarm, and end it."""
    _alarm(scene, "memory")


def a_disk_alarm(scene: Scene) -> None:
    """Raise a disk alarm, and end it."""
    _alarm(scene, "disk")


def the_edge_is_restarted_during_an_alarm(scene: Scene) -> None:
    """Raise an alarm and restart the edge while what it had sent lies unread in the sockets."""
    _alarm(scene, scene.chance.choice(("memory", "disk")), restart=True)


def the_broker_is_frozen(scene: Scene) -> None:
    """Suspend it: its sockets take bytes, and nobody reads them. Then let it go on."""
    with scene.driver.watch() as seen:
        scene.stand.broker.freeze()
        time.sleep(FREEZE_SECONDS)
        scene.stand.broker.resume()
        scene.stand.wait_healthy()
    expect_all_answered(seen)


def the_broker_is_frozen_and_killed(scene: Scene) -> None:
    """Suspend it and kill it: what its sockets had taken is gone."""
    with scene.driver.watch() as seen:
        scene.stand.broker.freeze()
        scene.wait(2.0, 12.0)
        scene.stand.broker.kill()
        scene.stand.broker.start()
        scene.stand.wait_healthy()
    expect_all_answered(seen)


def expect_all_answered(seen: Watched) -> None:
    """Hold every request of a stretch to a 200."""
    assert set(seen.statuses) == {200}, f"not every request was answered 200: {seen.statuses} {seen.failures}"


def is_as_fast(seen: Watched, normal: Watched) -> bool:
    """Tell whether the 99th percentile is below twice the normal, or what is promised anyway."""
    return seen.typical_p99() <= max(2 * normal.typical_p99(), PROMISED_SECONDS)


def expect_as_fast(seen: Watched, normal: Watched) -> None:
    """Hold a stretch to the latency of another."""
    words = f"p99 {seen.typical_p99() * 1000:.1f} ms, normally {normal.typical_p99() * 1000:.1f} ms"
    assert is_as_fast(seen, normal), words


def _alarm(scene: Scene, kind: str, *, restart: bool = False) -> None:
    broker = scene.stand.broker
    with scene.driver.watch() as seen:
        broker.ctl(*ALARM_ON[kind], timeout=CTL_SECONDS)
        wait_until(lambda: _edge_is_blocked(scene), 20, "the edge says that the broker has an alarm")
        if restart:
            scene.wait(0.5, 2.0)
            scene.stand.edge.restart()
        scene.wait(2.0, 5.0)
        broker.ctl(*ALARM_OFF[kind], timeout=CTL_SECONDS)
        scene.stand.wait_healthy()
    expect_all_answered(seen)


def _edge_is_blocked(scene: Scene) -> bool:
    processes = scene.stand.health().get("processes", [])
    return any(process["journal"]["broker"] == "blocked" for process in processes)
