"""Inject faults into the edge: kill, stop, reload or upgrade its processes."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.chaos.sources import copy_of
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.chaos.scene import Scene
    from tests.chaos.stand import Stand

ADOPTED_SECONDS = 60.0
"""The time limit for emptying a dead process's journal, in seconds.

Other processes look for such journals every five seconds, publish their events again, and prove them after
the grace period.
"""


@contextmanager
def an_edge_process_is_killed(scene: Scene) -> Iterator[None]:
    """Kill one of the two edge processes. gunicorn starts another, and a live process adopts the journal."""
    edge, journals = scene.stand.edge, scene.stand.journals
    victim = scene.chance.choice(edge.children())
    os.kill(victim, signal.SIGKILL)
    scene.await_proof(
        f"process {victim} is gone, another has come",
        lambda: victim not in edge.children() and len(edge.children()) > 1,
    )
    yield
    wait_until(
        lambda: not journals.segments(of=f"{victim}-*"),
        ADOPTED_SECONDS,
        "the killed process's journal empties",
    )


@contextmanager
def the_edge_master_is_killed(scene: Scene) -> Iterator[None]:
    """Kill gunicorn's master. Its children are also killed, or must notice that it has ended."""
    edge = scene.stand.edge
    edge.spares_orphans = scene.chance.random() < 0.5
    before = edge.pid
    os.kill(before, signal.SIGKILL)
    scene.await_proof(
        f"master {before} is gone, another has come", lambda: edge.is_running and edge.pid != before
    )
    yield


@contextmanager
def the_edge_is_killed_while_the_broker_is_away(scene: Scene) -> Iterator[None]:
    """Kill the broker and then the edge, so that only the journals of dead processes contain the events."""
    stand, master = scene.stand, scene.stand.edge.pid
    stand.broker.kill()
    scene.wait(1.0, 3.0)
    os.killpg(master, signal.SIGKILL)
    orphaned = len(stand.journals.bodies())
    scene.prove(f"master {master} is dead, its journals hold {orphaned} events", has_struck=orphaned > 0)
    yield
    stand.broker.start()


@contextmanager
def everything_is_told_to_stop(scene: Scene) -> Iterator[None]:
    """Stop every process and both servers at the same moment, and start them again later."""
    stand = scene.stand
    before = {program.pid for program in stand.programs}
    stops: list[Callable[[], object]] = [program.stop for program in stand.programs]
    stops += [stand.broker.stop] + ([stand.postgresql.stop] if stand.postgresql else [])
    _all_at_once(stops)
    still = [program.name for program in stand.programs if program.is_running]
    scene.prove(f"{len(before)} programs and the servers have ended", has_struck=not still)
    yield
    start_everything(stand)


@contextmanager
def the_edge_is_reloaded(scene: Scene) -> Iterator[None]:
    """Send SIGHUP to the edge, which replaces its processes without any effect on senders."""
    edge = scene.stand.edge
    before = set(edge.children())
    edge.send(signal.SIGHUP)
    scene.await_proof(
        "all edge processes are new", lambda: not before & set(edge.children()) and edge.children()
    )
    yield


@contextmanager
def the_edge_is_restarted(scene: Scene) -> Iterator[None]:
    """Stop and start the edge. Its socket stays open, so requests wait in the socket's backlog."""
    edge, before = scene.stand.edge, scene.stand.edge.pid
    edge.restart()
    scene.prove(f"master {before} has become {edge.pid}", has_struck=edge.pid != before)
    yield


@contextmanager
def the_edge_is_upgraded(scene: Scene) -> Iterator[None]:
    """Run the edge from a copy of the code that takes over the socket and the journals; later switch back."""
    edge, product = scene.stand.edge, scene.stand.product
    usual, newer = product.sources, copy_of(product.sources, product.directory / "newer")
    edge.stop()
    edge.run_from(newer)
    edge.start()
    scene.await_proof(
        "every process runs the other copy",
        lambda: (
            len(edge.children()) > 1
            and {Path(f"/proc/{pid}/cwd").resolve() for pid in edge.children()} == {newer.resolve()}
        ),
    )
    scene.stand.wait_healthy()
    yield
    edge.stop()
    edge.run_from(usual)
    edge.start()
    shutil.rmtree(newer)


def start_everything(stand: Stand) -> None:
    """Start the servers and then every stopped program; return when events are processed again."""
    stand.broker.launch()
    if stand.postgresql:
        stand.postgresql.start()
    stand.broker.wait_ready()
    for program in stand.programs:
        program.start()
    stand.wait_healthy()


def _all_at_once(actions: list[Callable[[], object]]) -> None:
    threads = [threading.Thread(target=action) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
