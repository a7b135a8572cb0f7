"""Inject faults into the broker: kill, stop or freeze it, raise alarms, or make it refuse a large event."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.chaos.broker_view import EVENTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.scene import Scene
    from tests.servers import PrivateRabbitMQ

NORMAL_SECONDS = 8.0
PROMISED_SECONDS = 0.01
"""The promised latency (single-digit milliseconds), in seconds. A lower latency always passes the check."""

FALLS_BEHIND = 2000
"""The number of deliveries that must be in the queue before the broker is killed."""

ALARM_ON = {
    "memory": "vm_memory_monitor:set_vm_memory_high_watermark({absolute, 1})",
    "disk": 'rabbit_disk_monitor:set_disk_free_limit("100000GB")',
}
ALARM_OFF = {
    "memory": 'vm_memory_monitor:set_vm_memory_high_watermark({absolute, "1GB"})',
    "disk": 'rabbit_disk_monitor:set_disk_free_limit("10MB")',
}
CLOSE_ALL = """
    rabbit_networking:close_connections([
        Pid || Pid <- rabbit_networking:connections(), node(Pid) =:= node()
    ], <<"chaos">>)
"""
MESSAGE_LIMIT = 20_000
USUAL_LIMIT = 16_777_216
SET_LIMIT = "persistent_term:put(max_message_size, {})"
GET_LIMIT = "persistent_term:get(max_message_size)"


def is_frozen(pid: int) -> bool:
    """Return whether the process with this id is suspended."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "T"


@contextmanager
def the_broker_is_killed(scene: Scene) -> Iterator[None]:
    """Kill the broker while thousands of deliveries are in the queue, and start it again on the same data."""
    stand, before = scene.stand, scene.stand.broker.pid
    with stand.paused_workers():
        scene.wait_until(lambda: stand.view.depth(EVENTS) >= FALLS_BEHIND, "the queue fills up")
        stand.broker.kill()
        yield
        stand.broker.start()
    scene.prove(f"node {before} has become {stand.broker.pid}", has_struck=stand.broker.pid != before)


@contextmanager
def the_broker_is_away(scene: Scene) -> Iterator[None]:
    """Stop the broker for longer than the platform retries. Typical requests must stay as fast as before."""
    stand = scene.stand
    normal = scene.load.watch_for(NORMAL_SECONDS).latency(50)
    before = stand.broker.pid
    stand.broker.stop()
    scene.prove("its port has no listener", has_struck=not stand.broker.is_ready())
    with scene.load.watch() as outage:
        yield
    stand.broker.start()
    assert stand.broker.pid != before
    expect_as_fast(outage.latency(50), normal)


@contextmanager
def all_connections_are_closed(scene: Scene) -> Iterator[None]:
    """Make the broker close all of its connections."""
    view = scene.stand.view
    scene.wait_until(view.connections, "the broker lists its connections")
    before = view.connections()
    scene.stand.broker.evaluate(CLOSE_ALL)
    yield
    scene.await_proof(
        f"all {len(before)} connections are new ones",
        lambda: view.connections() and not before & view.connections(),
    )


@contextmanager
def a_memory_alarm(scene: Scene) -> Iterator[None]:
    """Raise a memory alarm in the broker, and clear it later."""
    with _alarm(scene, "memory"):
        yield


@contextmanager
def a_disk_alarm(scene: Scene) -> Iterator[None]:
    """Raise a disk alarm in the broker, and clear it later."""
    with _alarm(scene, "disk"):
        yield


@contextmanager
def the_edge_is_restarted_during_an_alarm(scene: Scene) -> Iterator[None]:
    """Raise an alarm, and restart the edge while its events wait unread in the sockets."""
    with _alarm(scene, scene.chance.choice(("memory", "disk"))):
        scene.wait(0.5, 2.0)
        before = scene.stand.edge.pid
        scene.stand.edge.restart()
        scene.prove("the edge is new", has_struck=scene.stand.edge.pid != before)
        yield


@contextmanager
def _alarm(scene: Scene, kind: str) -> Iterator[None]:
    broker, view = scene.stand.broker, scene.stand.view
    broker.evaluate(ALARM_ON[kind])
    scene.await_proof(f"the broker lists its {kind} alarm", view.has_alarm)
    scene.wait_until(lambda: _edge_is_blocked(scene), "the edge reports that the broker has an alarm")
    try:
        yield
    finally:
        broker.evaluate(ALARM_OFF[kind])
    scene.wait_until(lambda: not view.has_alarm(), "the alarm has ended")


@contextmanager
def the_broker_is_frozen(scene: Scene) -> Iterator[None]:
    """Suspend the broker, whose sockets still accept bytes that it does not read, and resume it later."""
    with _frozen(scene, scene.stand.broker):
        yield
        scene.stand.broker.resume()


@contextmanager
def the_broker_is_frozen_and_killed(scene: Scene) -> Iterator[None]:
    """Suspend the broker and then kill it, so that the bytes in its sockets are lost."""
    with _frozen(scene, scene.stand.broker):
        yield
        scene.stand.broker.kill()
        scene.stand.broker.start()


@contextmanager
def _frozen(scene: Scene, broker: PrivateRabbitMQ) -> Iterator[None]:
    broker.freeze()
    scene.await_proof(f"process {broker.pid} is suspended", lambda: is_frozen(broker.pid))
    yield


@contextmanager
def an_event_is_above_its_limit(scene: Scene) -> Iterator[None]:
    """Make the broker refuse messages above 20,000 bytes, and send it a larger event."""
    broker = scene.stand.broker
    broker.evaluate(SET_LIMIT.format(MESSAGE_LIMIT))
    told = broker.evaluate(GET_LIMIT)
    scene.prove(f"the broker's limit is {told} bytes", has_struck=told == str(MESSAGE_LIMIT))
    (body,) = scene.extra_bodies(1)
    large = json.dumps(json.loads(body) | {"filler": "x" * MESSAGE_LIMIT}).encode()
    scene.ledger.expect_dead_letter(large)
    scene.post_all([large])
    try:
        yield
        scene.wait_until(lambda: scene.stand.journals.aside("oversized"), "the event is set aside")
    finally:
        broker.evaluate(SET_LIMIT.format(USUAL_LIMIT))


def expect_as_fast(seen: float, normal: float) -> None:
    """Require that the latency *seen* is at most twice *normal*, or at most the promised latency."""
    words = f"typically {seen * 1000:.1f} ms, normally {normal * 1000:.1f} ms"
    assert seen <= max(2 * normal, PROMISED_SECONDS), words


def _edge_is_blocked(scene: Scene) -> bool:
    processes = scene.stand.product.health().get("processes", [])
    return any(process["journal"]["broker"] == "blocked" for process in processes)
