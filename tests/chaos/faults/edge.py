"""Strike the edge's processes: killed, stopped, rolled over."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

from tests.chaos.service import wait_until

if TYPE_CHECKING:
    from tests.chaos.scene import Scene
    from tests.chaos.stand import Stand

ADOPTED_SECONDS = 40.0
"""A look at the others' directories every five seconds, republishing, and the barrier's grace period."""


def an_edge_process_is_killed(scene: Scene) -> None:
    """Kill one of the two; gunicorn starts another, and somebody adopts the journal."""
    victim = scene.chance.choice(scene.stand.edge.children())
    os.kill(victim, signal.SIGKILL)
    wait_until(
        lambda: not any(path.name.startswith(f"{victim}-") for path in scene.stand.journals.root.iterdir()),
        ADOPTED_SECONDS,
        f"the journal of the killed process {victim} is adopted and emptied",
    )


def the_edge_master_is_killed(scene: Scene) -> None:
    """Kill gunicorn's master; its children are killed with it, or left to notice by themselves."""
    edge = scene.stand.edge
    edge.spares_orphans = scene.chance.random() < 0.5
    before = edge.starts
    os.kill(edge.pid, signal.SIGKILL)
    wait_until(lambda: edge.starts > before, 10, "the edge is started again")
    scene.stand.wait_healthy()


def the_edge_is_killed_while_the_broker_is_away(scene: Scene) -> None:
    """Leave events that exist nowhere but in the journals of dead processes."""
    scene.stand.broker.kill()
    scene.wait(1.0, 3.0)
    os.killpg(scene.stand.edge.pid, signal.SIGKILL)
    scene.wait(1.0, 3.0)
    scene.stand.broker.start()
    scene.stand.wait_healthy()


def everything_is_told_to_stop(scene: Scene) -> None:
    """Stop every process and both servers in the same moment, then start them."""
    stand = scene.stand
    stops = [service.stop for service in (stand.edge, *stand.workers)] + [stand.broker.stop]
    stops += [stand.postgresql.stop] if stand.postgresql else []
    _all_at_once(stops)
    start_everything(stand)


def the_edge_is_reloaded(scene: Scene) -> None:
    """Send SIGHUP, which rolls the processes over; nobody notices."""
    with scene.driver.watch() as seen:
        before = set(scene.stand.edge.children())
        scene.stand.edge.send(signal.SIGHUP)
        wait_until(lambda: not before & set(scene.stand.edge.children()), 30, "both processes are new")
        scene.wait(1.0, 2.0)
    assert set(seen.statuses) == {200}, f"refused during a reload: {seen.statuses} {seen.failures}"


def the_edge_is_restarted(scene: Scene) -> None:
    """Stop the edge and start it again; requests wait in the backlog of the socket that survives."""
    with scene.driver.watch() as seen:
        scene.stand.edge.restart()
        scene.stand.wait_healthy()
    assert set(seen.statuses) == {200}, f"refused during a restart: {seen.statuses} {seen.failures}"


def start_everything(stand: Stand) -> None:
    """Start whatever does not run, servers first; returns when events flow."""
    stand.broker.launch()
    if stand.postgresql:
        stand.postgresql.start()
    stand.broker.wait_ready()
    for service in (stand.edge, *stand.workers):
        service.start()
    stand.wait_healthy(90)


def _all_at_once(actions: list[object]) -> None:
    threads = [threading.Thread(target=action) for action in actions]  # type: ignore[arg-type]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
