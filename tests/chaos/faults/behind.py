"""Inject faults behind the intake workers: kill settle or deliver, or make a destination or the API fail."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from simulator.platform import Fault as Failing
from tests.chaos.behind import DESTINATION, TIMEOUT_SECONDS, Behind
from tests.chaos.bounds import HEALS
from tests.chaos.faults.workers import kill
from tests.chaos.proxy import Weather
from tests.chaos.scene import Fault, Form
from tests.servers import free_port
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from simulator.receiver import ReceivedEvent
    from tests.chaos.proxy import Proxy
    from tests.chaos.scene import Scene

LOCK = text("LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE")
SETTLING: Final = (
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'settle' AND wait_event_type = 'Lock'"
)
LATE_ANSWERS: Final = 10
REFUSALS: Final = 5
RESETS: Final = 5
LOOK_SECONDS: Final = 0.5
"""Seconds between two checks of the database's locks: about as long as a window is open."""

TOLD_AGAIN_SECONDS: Final = 2 * HEALS
"""Seconds to wait until deliver tries the destination again, which it does only once a minute."""


@contextmanager
def deliver_is_killed_before_its_record(scene: Scene) -> Iterator[None]:
    """Kill deliver after the destination has accepted an event, but before deliver receives the answer."""
    behind = behind_of(scene)
    caught: list[ReceivedEvent] = []
    once = threading.Lock()

    def kill_and_take(told: ReceivedEvent) -> None:
        with once:
            if not caught and told.destination == DESTINATION:
                caught.append(told)
                for program in behind.of("deliver"):
                    os.kill(program.pid, signal.SIGKILL)

    with misbehaving(behind, kill_and_take):
        scene.await_proof("the workers were killed over an event that was taken", lambda: caught)
        yield
    webhook_id = caught[0].webhook_id
    scene.wait_until(lambda: _times_taken(behind, webhook_id) > 1, "it comes again under the same id")


@contextmanager
def deliver_is_killed_before_it_sends(scene: Scene) -> Iterator[None]:
    """Kill deliver after it has leased events, but before the destination receives any of them."""
    proxy = behind_of(scene).receiver_proxy
    before = proxy.struck[Weather.HOLD_REQUESTS]
    proxy.weather = Weather.HOLD_REQUESTS
    scene.await_proof("requests are held on their way", lambda: proxy.struck[Weather.HOLD_REQUESTS] > before)
    kill(scene, behind_of(scene).of("deliver"))
    proxy.cut_all()
    proxy.weather = Weather.FAIR
    yield


@contextmanager
def settle_is_killed_before_it_commits(scene: Scene) -> Iterator[None]:
    """Kill settle while it holds locks on conversations and waits for a table that the test has locked."""
    stand, engine = scene.stand, scene.stand.engine()

    def is_waiting() -> bool:
        ours.rollback()
        time.sleep(LOOK_SECONDS)
        ours.execute(LOCK)
        time.sleep(LOOK_SECONDS)
        return stand.ask(SETTLING) > 0

    with engine.connect() as ours:
        # While intake also waits for the lock, no further window closes, so release the lock and retry.
        scene.await_proof("a window's commit waits for our lock", is_waiting)
        kill(scene, behind_of(scene).of("settle"))
        ours.rollback()
    engine.dispose()
    yield


@contextmanager
def the_destination_answers_too_late(scene: Scene) -> Iterator[None]:
    """Make the destination accept some events, but answer them only after the sender's time limit."""
    behind = behind_of(scene)
    late: set[str] = set()

    def dawdle(told: ReceivedEvent) -> Failing | None:
        if told.destination != DESTINATION or len(late) >= LATE_ANSWERS or told.webhook_id in late:
            return None
        late.add(told.webhook_id)
        return Failing(200, delay=TIMEOUT_SECONDS + 1.0)

    with misbehaving(behind, dawdle):
        yield
        scene.await_proof("some were answered too late", lambda: late)
        scene.wait_until(
            lambda: all(_times_taken(behind, each) > 1 for each in late),
            "what was taken too late comes again under its id",
        )


@contextmanager
def the_destination_fails(scene: Scene) -> Iterator[None]:
    """Make the destination answer every request with 500 and accept no events."""
    behind = behind_of(scene)
    failed: set[str] = set()

    def fail(told: ReceivedEvent) -> Failing:
        failed.add(told.webhook_id)
        return Failing(500)

    with misbehaving(behind, fail):
        yield
    scene.prove(f"{len(failed)} events were answered 500", has_struck=bool(failed))
    wait_told(behind)


@contextmanager
def the_destination_resets(scene: Scene) -> Iterator[None]:
    """Reset connections to the destination at random points in requests."""
    proxy, broken = behind_of(scene).receiver_proxy, 0

    def break_some() -> bool:
        nonlocal broken
        broken += proxy.reset_all()
        return broken >= RESETS

    scene.await_proof(f"{RESETS} connections broke and more", break_some)
    yield


@contextmanager
def the_destination_is_away(scene: Scene) -> Iterator[None]:
    """Refuse all connections to the destination, as if its server were stopped."""
    with _away(scene, behind_of(scene).receiver_proxy):
        yield
    wait_told(behind_of(scene))


@contextmanager
def the_platform_is_away(scene: Scene) -> Iterator[None]:
    """Refuse all connections to the platform's API, as if its server were stopped."""
    with _away(scene, behind_of(scene).platform_proxy):
        yield


@contextmanager
def the_platform_has_no_room(scene: Scene) -> Iterator[None]:
    """Make the platform answer the next few requests with 429."""
    organisation, before = behind_of(scene).organisation, behind_of(scene).organisation.faults
    organisation.inject_fault(Failing(429, times=REFUSALS, retry_after=1))
    yield
    scene.await_proof(f"it answered 429 {REFUSALS} times", lambda: organisation.faults >= before + REFUSALS)


@contextmanager
def the_platform_lies(scene: Scene) -> Iterator[None]:
    """Make the platform answer each request about a conversation with a random state or 404."""
    contacts = behind_of(scene).contacts
    lied = contacts.lies
    contacts.liar = scene.chance
    try:
        yield
        scene.await_proof("it was asked, and lied", lambda: contacts.lies > lied)
    finally:
        contacts.liar = None


@contextmanager
def _away(scene: Scene, proxy: Proxy) -> Iterator[None]:
    usual, turned_away = proxy.target, proxy.turned_away
    proxy.target = free_port()
    proxy.cut_all()
    try:
        yield
        scene.await_proof("connections were refused", lambda: proxy.turned_away > turned_away)
    finally:
        proxy.target = usual


@contextmanager
def misbehaving(behind: Behind, fault_for: Callable[[ReceivedEvent], Failing | None]) -> Iterator[None]:
    """Let *fault_for* decide how the destinations answer during a `with` block."""
    usual, behind.inbox.fault_for = behind.inbox.fault_for, fault_for
    try:
        yield
    finally:
        behind.inbox.fault_for = usual


def behind_of(scene: Scene) -> Behind:
    """Return the simulated services behind the outbox, which the scene's stand must have."""
    assert scene.stand.behind is not None
    return scene.stand.behind


def wait_told(behind: Behind) -> None:
    """Wait until the destination accepts an event again."""
    told = len(behind.inbox.accepted_by(DESTINATION))
    wait_until(
        lambda: len(behind.inbox.accepted_by(DESTINATION)) > told,
        TOLD_AGAIN_SECONDS,
        "the destination accepts an event again",
    )


def _times_taken(behind: Behind, webhook_id: str) -> int:
    return sum(each.webhook_id == webhook_id for each in behind.inbox.accepted_by(DESTINATION))


FAULTS: Final = (
    Fault(
        31,
        "kill -9 of a deliver worker",
        (
            Form(deliver_is_killed_before_its_record),
            Form(deliver_is_killed_before_it_sends),
        ),
        stands=("behind",),
    ),
    Fault(32, "kill -9 of a settle worker", (Form(settle_is_killed_before_it_commits),), stands=("behind",)),
    Fault(
        33,
        "bad destination",
        (
            Form(the_destination_answers_too_late, (3.0, 6.0)),
            Form(the_destination_fails, (3.0, 6.0)),
            Form(the_destination_resets),
            Form(the_destination_is_away, (5.0, 10.0)),
        ),
        stands=("behind",),
    ),
    Fault(
        34,
        "bad platform",
        (
            Form(the_platform_is_away, (5.0, 10.0)),
            Form(the_platform_has_no_room, (3.0, 6.0)),
            Form(the_platform_lies, (8.0, 12.0)),
        ),
        stands=("behind",),
    ),
)
