"""Run one fault against a stand under load, wait until the service has recovered, and judge the result."""

from __future__ import annotations

import random
import time
import traceback
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tests.chaos.held import (
    expect_no_higher_p99,
    expect_no_longer_stall,
    expect_no_longer_wait,
    expect_none_given_up,
)
from tests.chaos.oracle import Oracle
from tests.chaos.own_clock import OwnClock
from tests.chaos.result import Result, own_figures
from tests.chaos.scene import Fault, Scene
from tests.chaos.waits import NORMAL_SECONDS, Watched, longest_waits
from tests.stand.ledger import Ledger
from tests.stand.load import Load
from tests.stand.order import Order
from tests.stand.traffic import Traffic
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.chaos.oracle import Verdict
    from tests.chaos.scene import Form
    from tests.chaos.stand import Stand
    from tests.stand.records import Seen

WARM_SECONDS = 2.0
START_SECONDS = 60.0
"""The time limit for the sender to start, in seconds. A Python process starts slowly while other stands keep
the machine busy."""

TRACE_SECONDS = 60.0
"""The time limit, in seconds, for both the edge and the workers to record a step after a strike."""

LOOK_SECONDS = 1.0
DRAIN_SECONDS = 600.0
"""The time limit for processing all events after the load ends, in seconds.

The longest outage lasts three minutes, under a load of half the capacity. A single stand then processes
the backlog in 90 s, and a stand beside two others in 270 s. The limit is about twice as long.
"""

STILL_SECONDS = 75.0
"""The remaining events count as stuck if there is no progress for this number of seconds.

This is longer than any pause between two of the service's attempts: it retries an unavailable destination
once a minute.
"""

WAY_SECONDS = 0.5
"""Seconds between two readings of how long the 200 threads on an event's path waited for a processor.

Readings at this interval use one percent of a processor.
"""

EMPTY_SECONDS = 10.0
"""If no event is being processed, draining ends after this number of seconds without progress.

The journals are then empty, and the queue's leader reports an empty queue, so a missing event will no longer
arrive.
"""

REPEATED = 0.05
"""The share of requests that repeat an earlier body, as the platform does if an answer is lost."""

RETRY_SECONDS = 5.0
"""Seconds between two tries of an event under the platform's retry policy."""

CONNECTIONS = 256
"""The sender's number of connections, which is high enough not to limit the rate.

A server that gets a processor only every 115 ms answers all waiting requests at once. With 64 connections, it
would answer 560 requests per second, and all other due requests would wait in the sender.
"""

MOST_RATE = 4000.0
"""The highest rate, in events per second. On two cores, the sender easily reaches it beside the servers."""


def say(line: str) -> None:
    """Print a line about the progress immediately, even into a pipe."""
    print(line, flush=True)


@dataclass(frozen=True, slots=True)
class Plan:
    """How to run a fault.

    Args:
        seed: The seed of every random choice.
        rounds: How often each form strikes; 0: the number that the fault defines.
        retry_seconds: Seconds between two tries of an event: five, as in the platform's retry policy, or
            fewer to save time.
        still_seconds: The remaining events count as stuck after this number of seconds without progress.
        accounts: Whether all events are compared with the ledger even if a check has failed.
        repeated: The share of requests that repeat an earlier body.
        rate: Events per second; 0: the fault's own rate, or a rate derived from the stand's capacity.
        say: The function that prints a line about the progress.
    """

    seed: int
    rounds: int = 0
    retry_seconds: float = RETRY_SECONDS
    still_seconds: float = STILL_SECONDS
    accounts: bool = True
    repeated: float = REPEATED
    rate: float = 0.0
    say: Callable[[str], None] = say


def run_fault(stand: Stand, fault: Fault, plan: Plan) -> Result:
    """Start a load, run one fault, and judge the outcome. Record a broken promise in the result."""
    started = time.monotonic()
    result = Result(fault.number, fault.title, rounds=len(fault.forms) * (plan.rounds or fault.times))
    try:
        rate = plan.rate or fault.rate
        if not rate:
            stand.capacity.look(stand)
        result = replace(result, capacity=stand.capacity.best)
        with fault.arrange(stand):
            scene = scene_of(stand, f"f{fault.number}", plan, rate or stand.capacity.rate)
            result = _run(scene, fault, plan, replace(result, rate=scene.load.rate))
    except Exception as error:  # noqa: BLE001  # any error is this fault's result
        plan.say(traceback.format_exc())
        words = result.failure or _one_line(first_of(error))
        result = replace(result, failure=words, is_broken_off=True)
    return replace(result, seconds=time.monotonic() - started)


def _run(scene: Scene, fault: Fault, plan: Plan, result: Result) -> Result:
    """Carry out all strikes, then compare all events with the ledger.

    Even after a failed check, this comparison is made before the fault's arrangement is undone.
    """
    try:
        result = _strike_all(scene, fault, plan, result)
        result = _settle(scene, plan, result)
        _hold_to_bounds(scene, fault, plan)
    except Exception as error:  # noqa: BLE001  # as above
        plan.say(traceback.format_exc())
        is_settled = result.answered or not plan.accounts
        account = result if is_settled else _account(scene, plan, result)
        failed = replace(account, proofs=tuple(scene.proofs), failure=_one_line(first_of(error)))
        return replace(failed, is_broken_off=True)
    else:
        return result
    finally:
        scene.close()


def scene_of(stand: Stand, name: str, plan: Plan, rate: float) -> Scene:
    """Start a load on a stand, and return the scene in which the fault strikes."""
    seed = plan.seed
    run = f"{name}-{seed:x}-{time.time_ns() // 1_000_000:x}"
    order = Order(
        stand.product.port,
        str(stand.product.directory / run),
        run=run,
        rate=min(MOST_RATE, max(1.0, rate)),
        connections=CONNECTIONS,
        repeated=plan.repeated,
        retry_seconds=plan.retry_seconds,
        seed=seed,
    )
    load = Load(order)
    clock = OwnClock(lambda: (load.pid, stand.edge.pid))
    return Scene(stand, load, Traffic(run), Ledger(), random.Random(f"{seed}:{name}"), clock)


def _strike_all(scene: Scene, fault: Fault, plan: Plan, result: Result) -> Result:
    wait_until(lambda: scene.load.seen().tries, START_SECONDS, "the sender sends")
    time.sleep(WARM_SECONDS)
    forms = [form for _ in range(plan.rounds or fault.times) for form in fault.forms]
    for count, form in enumerate(forms, start=1):
        scene.wait(0.3, 1.5)
        begin = time.monotonic()
        with _watching(scene, form):
            seen = strike(scene, form)
        seconds = time.monotonic() - begin
        plan.say(f"strike {count}/{len(forms)}: {form.name}: {scene.proofs[-1]} ({seconds:.0f} s)")
        own = scene.clock.seen(seen.tries)
        plan.say(f"    {seen.counts}, p99 {seen.latency(99):.2f} s, {own.latency(99):.2f} s of its own,")
        plan.say(f"    longest stall {seen.longest_stall:.1f} s, {own.longest_stall:.1f} s of its own")
        result = replace(result, accepted=result.accepted + bool(scene.stand.traces.accept(TRACE_SECONDS)))
        pace = scene.stand.pace
        expect_no_longer_stall(seen, own, pace * (form.stall or fault.stall))
        if form.p99:
            expect_no_higher_p99(seen, own, pace * form.p99)
    return replace(result, proofs=tuple(scene.proofs))


@contextmanager
def _watching(scene: Scene, form: Form) -> Iterator[None]:
    """Watch the good events during a strike, and during a normal period of the same load just before it."""
    if (good := form.good) is None:
        yield
        return
    if scene.way_clock is None:
        scene.way_clock = OwnClock(scene.stand.processes, every=WAY_SECONDS)
    usual = scene.load.rate
    scene.load.change_rate(min(good.rate or usual, usual) * good.share)
    begin = time.monotonic()
    time.sleep(NORMAL_SECONDS)
    normal = begin, time.monotonic()
    yield
    scene.watched.append(Watched(form.name, good, normal, scene.struck))
    scene.load.change_rate(usual)


def strike(scene: Scene, form: Form) -> Seen:
    """Strike once, wait until the service has recovered, and return the senders' tries in that time."""
    proved = len(scene.proofs)
    with scene.load.watch() as seen:
        with form.strike(scene):
            began = time.monotonic()
            scene.wait(*form.lasts)
            scene.struck = began, time.monotonic()
        scene.stand.wait_healthy(form.heals)
    proofs = scene.proofs[proved:]
    assert proofs, f"{form.name}: nothing proves that it struck"
    scene.proofs[proved:] = [" & ".join(proofs)]
    assert seen.tries, f"{form.name}: no request was due meanwhile"
    surprises = {} if form.allowed is None else seen.statuses - form.allowed
    assert not surprises, f"{form.name}: unexpected answers: {seen.counts}"
    return seen


def _settle(scene: Scene, plan: Plan, result: Result) -> Result:
    """Wait until all events are processed, compare all of them with the ledger, and check the last steps."""
    scene.load.stop()
    scene.ledger.note_answered(map(scene.traffic.body, scene.load.answered))
    oracle = Oracle(scene.stand, scene.traffic.run, scene.ledger)
    drain(oracle, plan.still_seconds, scene.stand.pace * DRAIN_SECONDS)
    seen = scene.load.seen()
    own = scene.clock.seen(seen.tries)
    result = replace(result, rate=seen.rate, figures=seen.figures() | own_figures(own))
    result = _with_verdict(result, oracle.verdict())
    scene.stand.traces.accept()
    if scene.way_clock is None:
        return result
    scene.waits = longest_waits(scene, scene.watched, scene.way_clock.at)
    return replace(
        result,
        good_waited_s=round(max(waited.real for waited in scene.waits), 2),
        own_good_waited_s=round(max(waited.own for waited in scene.waits), 2),
    )


def _hold_to_bounds(scene: Scene, fault: Fault, plan: Plan) -> None:
    """Check that the measurements are within the fault's bounds.

    Raises:
        AssertionError: Good events or requests took longer than allowed, or events were given up.
    """
    seen = scene.load.seen()
    own = scene.clock.seen(seen.tries)
    pace = scene.stand.pace
    expect_no_longer_stall(seen, own, pace * max(fault.stall, *(form.stall for form in fault.forms), 0.0))
    expect_no_higher_p99(seen, own, pace * fault.p99)
    if not fault.gives_up and plan.retry_seconds >= RETRY_SECONDS:
        expect_none_given_up(seen)
    for watched, waited in zip(scene.watched, scene.waits, strict=True):
        plan.say(
            f"    {watched.name}: a good event waited {waited.real:.2f} s beyond the normal time,"
            f" {waited.own:.2f} s of its own"
        )
    for watched, waited in zip(scene.watched, scene.waits, strict=True):
        expect_no_longer_wait(watched, waited, pace * watched.good.within)


def drain(oracle: Oracle, still_seconds: float, seconds: float = DRAIN_SECONDS) -> None:
    """Wait until all events are processed, or until there is no more progress."""
    deadline, before, moved_at = time.monotonic() + seconds, None, time.monotonic()
    patience = still_seconds
    while not oracle.is_settled() and time.monotonic() < min(deadline, moved_at + patience):
        if (now := oracle.progress()) != before:
            before, moved_at = now, time.monotonic()
        _, *under_way = now
        patience = still_seconds if any(under_way) else EMPTY_SECONDS
        time.sleep(LOOK_SECONDS)


def _account(scene: Scene, plan: Plan, result: Result) -> Result:
    """Compare all events after a failure. An error of the comparison must not hide that failure."""
    try:
        return _settle(scene, plan, replace(result, proofs=tuple(scene.proofs)))
    except Exception:  # noqa: BLE001  # the first failure is the one to report
        return result


def _with_verdict(result: Result, verdict: Verdict) -> Result:
    return replace(
        result,
        answered=verdict.answered,
        processed=verdict.processed,
        dead_lettered=verdict.dead_lettered,
        lost=verdict.lost,
        repeated=verdict.repeated,
        drawn=verdict.drawn,
        found=verdict.found,
        failure=verdict.complaint,
    )


def first_of(error: BaseException) -> BaseException:
    """Return the error of the check that failed first: undoing the arrangement might have failed later."""
    found, earlier = error, error.__context__
    while earlier is not None:
        found = earlier if isinstance(earlier, AssertionError) else found
        earlier = earlier.__context__
    return found


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:300]
