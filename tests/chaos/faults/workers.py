"""Strike the intake workers: killed at every point of their work, by us or by an event."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import create_engine, text

from tests.chaos import poison
from tests.chaos.proxy import Weather
from tests.chaos.service import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.scene import Scene
    from tests.chaos.service import Service
    from tests.chaos.stand import Stand

BLOCKED = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE wait_event_type = 'Lock' AND query LIKE '%conversation_messages%'"
)
LOCK = text("LOCK TABLE conversation_messages IN ACCESS EXCLUSIVE MODE")
DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"

BURIED_SECONDS = 90.0
REVERSED_EVENTS = 300
AT_ONCE = 50


@contextmanager
def through_the_proxy(stand: Stand) -> Iterator[None]:
    """Put the proxy between the workers and the broker."""
    _reconfigure(stand, OM_AMQP_URL=stand.worker_proxy.url(stand.broker.amqp_url))
    try:
        yield
    finally:
        stand.worker_proxy.weather = Weather.FAIR
        _reconfigure(stand, OM_AMQP_URL=stand.broker.amqp_url)


@contextmanager
def with_a_deadly_handler(stand: Stand) -> Iterator[None]:
    """Install a handler that kills its process when it meets a marked event."""
    _reconfigure(stand, PYTHONPATH=f"{stand.sources}:{poison.install(stand.directory / 'poison')}")
    try:
        yield
    finally:
        _reconfigure(stand, PYTHONPATH=str(stand.sources))


def a_worker_is_killed(scene: Scene) -> None:
    """Kill one at any moment."""
    _kill(scene.chance.choice(scene.stand.workers))


def a_worker_is_killed_before_it_commits(scene: Scene) -> None:
    """Kill one that has claimed its events and waits for a lock that we hold."""
    engine = create_engine(scene.stand.database_url)
    with engine.connect() as ours:
        ours.execute(LOCK)
        wait_until(lambda: _ask(scene.stand, BLOCKED) > 0, 10, "a worker waits for our lock")
        for worker in scene.stand.workers:
            _kill(worker)
        ours.rollback()
    engine.dispose()


def a_worker_is_killed_before_it_acknowledges(scene: Scene) -> None:
    """Hold back what workers say to the broker; they commit, and are killed before it hears of it."""
    proxy = scene.stand.worker_proxy
    proxy.weather = Weather.HOLD_REQUESTS
    scene.wait(0.5, 1.5)
    _kill(scene.chance.choice(scene.stand.workers))
    proxy.cut_all()
    proxy.weather = Weather.FAIR


def an_event_kills_its_worker(scene: Scene) -> None:
    """Send an event that ends every process that handles it; it ends as a dead letter, and alone."""
    (body,) = scene.driver.extra_bodies(1)
    body = poison.poisoned(body)
    scene.driver.ledger.expect_dead_letter(body)
    before = _poisoned(scene.stand)
    assert scene.driver.post_extra(body).status == 200
    wait_until(lambda: _poisoned(scene.stand) > before, BURIED_SECONDS, "the event is recorded as poison")
    scene.stand.wait_healthy(60)


def the_same_events_come_in_reverse(scene: Scene) -> None:
    """Let both workers meet the same keys in opposite orders."""
    stand = scene.stand
    before = _deadlocks(stand)
    stand.pause_workers()
    bodies = scene.driver.extra_bodies(REVERSED_EVENTS)
    for start in range(0, REVERSED_EVENTS, 50):
        chunk = bodies[start : start + 50]
        for body in (*chunk, *reversed(chunk), *chunk, *reversed(chunk)):
            assert scene.driver.post_extra(body).status == 200
    stand.resume_workers()
    stand.wait_healthy()
    assert _deadlocks(stand) == before, "two workers met in a deadlock"


def fifty_come_at_once(scene: Scene) -> None:
    """Post one body on fifty connections in the same moment."""
    (body,) = scene.driver.extra_bodies(1)
    together = threading.Barrier(AT_ONCE)
    statuses: list[int] = []

    def post() -> None:
        together.wait()
        statuses.append(scene.driver.post_extra(body).status)

    threads = [threading.Thread(target=post) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * AT_ONCE, f"not every request was answered 200: {statuses}"


def _kill(worker: Service) -> None:
    before = worker.starts
    os.kill(worker.pid, signal.SIGKILL)
    wait_until(lambda: worker.starts > before, 10, f"{worker.name} is started again")


def _reconfigure(stand: Stand, **settings: str) -> None:
    for worker in stand.workers:
        worker.reconfigure(**settings)
    stand.wait_healthy()


def _poisoned(stand: Stand) -> int:
    return _ask(stand, "SELECT count(*) FROM dead_letters WHERE code = 'poison'")


def _deadlocks(stand: Stand) -> int:
    return _ask(stand, DEADLOCKS) if stand.postgresql else 0


def _ask(stand: Stand, question: str) -> int:
    engine = create_engine(stand.database_url)
    try:
        with engine.connect() as connection:
            return int(connection.execute(text(question)).scalar_one())
    finally:
        engine.dispose()
