"""Inject faults into the intake workers: kill them, or make a handler fail, hang or end its process."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import text

from tests.chaos import sick_handlers
from tests.chaos.faults.database import DEADLOCKS, ROWS
from tests.chaos.proxy import Weather
from tests.stand.ledger import digest_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.scene import Scene
    from tests.chaos.stand import Stand
    from tests.stand.program import Program

BLOCKED = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE wait_event_type = 'Lock' AND query LIKE '%conversation_messages%'"
)
LOCK = text("LOCK TABLE conversation_messages IN ACCESS EXCLUSIVE MODE")
DELIVERIES = "SELECT max(times_received) FROM processed_events WHERE body_sha256 = :digest"
REASON = "SELECT count(*) FROM dead_letters WHERE body_sha256 = :digest AND code = :code"
HANDLERS = "handlers"
"""The name of the directory with the sick handlers, in the stand's directory."""

FEW = 500
"""The maximum number of deliveries left in the queue after a strike: all others must be processed."""

REVERSED_EVENTS = 300
LINGER = """
    CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_sleep(0.002); RETURN NEW; END $$
"""
LINGERING = (
    "CREATE TRIGGER lingering BEFORE INSERT ON processed_events FOR EACH ROW EXECUTE FUNCTION linger()"
)
AT_ONCE = 50


@contextmanager
def through_the_proxy(stand: Stand) -> Iterator[None]:
    """Put the proxy between the workers and the broker for a `with` block."""
    stand.reconfigure_workers(OM_AMQP_URL=stand.worker_proxy.url(stand.broker.amqp_url))
    try:
        yield
    finally:
        stand.worker_proxy.weather = Weather.FAIR
        stand.reconfigure_workers(OM_AMQP_URL=stand.broker.amqp_url)


@contextmanager
def with_sick_handlers(stand: Stand) -> Iterator[None]:
    """Install handlers that carry out the orders in marked events, for a `with` block."""
    sources = stand.product.sources
    package = sick_handlers.install(stand.directory / HANDLERS)
    stand.reconfigure_workers(PYTHONPATH=f"{sources}:{package}")
    try:
        yield
    finally:
        stand.reconfigure_workers(PYTHONPATH=str(sources))


@contextmanager
def a_worker_is_killed(scene: Scene) -> Iterator[None]:
    """Kill a random worker at a random moment."""
    kill(scene, [scene.chance.choice(scene.stand.workers)])
    yield


@contextmanager
def a_worker_is_killed_before_it_commits(scene: Scene) -> Iterator[None]:
    """Kill the workers after they have claimed events, while they wait for a lock that the test holds."""
    stand, engine = scene.stand, scene.stand.engine()
    with engine.connect() as ours:
        ours.execute(LOCK)
        scene.wait_until(lambda: stand.ask(BLOCKED) > 0, "a worker waits for our lock")
        kill(scene, stand.workers)
        ours.rollback()
    engine.dispose()
    yield


@contextmanager
def a_worker_is_killed_before_it_acknowledges(scene: Scene) -> Iterator[None]:
    """Hold back what the workers send to the broker, and kill them after a commit but before its acks."""
    stand, proxy = scene.stand, scene.stand.worker_proxy
    # Wait for a commit: a worker that is not connected yet, or is still recovering, commits nothing.
    before = stand.ask(ROWS)
    scene.wait_until(lambda: stand.ask(ROWS) > before, "workers commit")
    # Count the rows first. On a busy machine, the workers might have committed all of their events before a
    # later query is answered.
    held, before = proxy.struck[Weather.HOLD_REQUESTS], stand.ask(ROWS)
    proxy.weather = Weather.HOLD_REQUESTS
    scene.await_proof(
        "a transaction was committed unacknowledged",
        lambda: proxy.struck[Weather.HOLD_REQUESTS] > held and stand.ask(ROWS) > before,
    )
    kill(scene, stand.workers)
    proxy.cut_all()
    proxy.weather = Weather.FAIR
    yield


@contextmanager
def an_event_kills_its_worker(scene: Scene) -> Iterator[None]:
    """Send an event that ends every process that handles it. Only this event may become a dead letter."""
    before = sum(worker.starts for worker in scene.stand.workers)
    with _dead_lettered(scene, "die", "poison"):
        yield
    killed = sum(worker.starts for worker in scene.stand.workers) - before
    scene.prove(f"it killed {killed} workers", has_struck=killed > 0)


@contextmanager
def a_handler_raises(scene: Scene) -> Iterator[None]:
    """Make a handler raise an exception for one event on every attempt."""
    with _dead_lettered(scene, "raise", "handler_failed"):
        yield


@contextmanager
def a_handler_finds_no_row(scene: Scene) -> Iterator[None]:
    """Make a handler raise an SQLAlchemy error that the database did not cause."""
    with _dead_lettered(scene, "no row", "handler_failed"):
        yield


@contextmanager
def a_handler_asks_for_a_missing_table(scene: Scene) -> Iterator[None]:
    """Make a handler's own statement fail with an SQLSTATE of class 42."""
    with _dead_lettered(scene, "missing table", "handler_failed"):
        yield


@contextmanager
def a_handler_hangs(scene: Scene) -> Iterator[None]:
    """Make a handler hang forever."""
    with _dead_lettered(scene, "hang", "poison"):
        yield


@contextmanager
def a_handler_loops(scene: Scene) -> Iterator[None]:
    """Make a handler loop forever while it holds the interpreter's lock."""
    with _dead_lettered(scene, "loop", "poison"):
        yield


@contextmanager
def a_handler_is_slow(scene: Scene) -> Iterator[None]:
    """Make a handler take two seconds for one event, which must then take effect like any other."""
    body = sick_handlers.marked(scene.extra_bodies(1)[0], "slow")
    before = _slow_ones(scene)
    scene.post_all([body])
    yield
    scene.await_proof("the handler took two seconds", lambda: _slow_ones(scene) > before)
    scene.wait_until(
        lambda: scene.stand.ask(DELIVERIES, digest=digest_of(body)) > 0, "the slow event is processed"
    )


@contextmanager
def the_same_events_come_in_reverse(scene: Scene) -> Iterator[None]:
    """Give both workers events with the same keys in opposite orders. The workers must not deadlock."""
    stand, before = scene.stand, deadlocks(scene.stand)
    bodies = scene.extra_bodies(REVERSED_EVENTS)
    some = [digest_of(body) for body in bodies[::50]]
    with _slow_rows(stand):
        with stand.paused_workers():
            for start in range(0, REVERSED_EVENTS, 50):
                chunk = bodies[start : start + 50]
                scene.post_all([*chunk, *reversed(chunk), *chunk, *reversed(chunk)])
            yield
        scene.await_proof(
            "each event came four times and more",
            lambda: all(stand.ask(DELIVERIES, digest=digest) >= 4 for digest in some),
        )
    assert deadlocks(stand) == before, "two workers met in a deadlock"


@contextmanager
def fifty_come_at_once(scene: Scene) -> Iterator[None]:
    """Post one body over fifty connections at the same moment."""
    (body,) = scene.extra_bodies(1)
    together = threading.Barrier(AT_ONCE)
    statuses: list[int] = []

    def post() -> None:
        together.wait()
        statuses.append(scene.post(body))

    threads = [threading.Thread(target=post) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * AT_ONCE, f"not every request was answered 200: {statuses}"
    yield
    stand, digest = scene.stand, digest_of(body)
    scene.await_proof(
        f"{AT_ONCE} copies were delivered", lambda: stand.ask(DELIVERIES, digest=digest) >= AT_ONCE
    )


@contextmanager
def _slow_rows(stand: Stand) -> Iterator[None]:
    """Delay each inserted row by two milliseconds, so that both workers insert rows at the same time."""
    if not stand.postgresql:
        yield
        return
    stand.execute(LINGER, LINGERING)
    try:
        yield
    finally:
        stand.execute("DROP FUNCTION linger() CASCADE")


def deadlocks(stand: Stand) -> int:
    """Return PostgreSQL's number of deadlocks so far; 0 for SQLite, which has none."""
    return stand.ask(DEADLOCKS) if stand.postgresql else 0


@contextmanager
def _dead_lettered(scene: Scene, order: str, code: str) -> Iterator[None]:
    """Send one event marked with *order*. Only this event may become a dead letter, with this *code*."""
    stand, before = scene.stand, _obeyed(scene).count(order)
    body = sick_handlers.marked(scene.extra_bodies(1)[0], order)
    scene.ledger.expect_dead_letter(body)
    scene.post_all([body])
    yield
    scene.await_proof(f"the handler was told: {order}", lambda: _obeyed(scene).count(order) > before)
    question = {"digest": digest_of(body), "code": code}
    scene.wait_until(lambda: stand.ask(REASON, **question) > 0, f"the event is recorded as {code}")
    stand.wait_healthy()
    scene.let_catch_up(FEW)


def _obeyed(scene: Scene) -> list[str]:
    return sick_handlers.obeyed(scene.stand.directory / HANDLERS)


def _slow_ones(scene: Scene) -> int:
    return sum(line.startswith("slow took 2.") for line in _obeyed(scene))


def kill(scene: Scene, workers: list[Program]) -> None:
    """Kill the processes of *workers*, and wait until other processes have replaced them."""
    before = [worker.pid for worker in workers]
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    pairs = list(zip(workers, before, strict=True))
    scene.await_proof(
        f"workers {before} are gone, others have come",
        lambda: all(worker.is_running and worker.pid != pid for worker, pid in pairs),
    )
