"""Let one fault strike a stand under load, let everything heal and drain, and pass judgement."""

from __future__ import annotations

import random
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.chaos.driver import Driver
from tests.chaos.ledger import Ledger, digest_of
from tests.chaos.oracle import Oracle, Verdict
from tests.chaos.scene import Fault, Scene
from tests.chaos.stand import SECRET, Stand
from tests.chaos.traffic import Traffic

WARM_SECONDS = 1.0
LOOK_SECONDS = 0.3
TELL_SECONDS = 10.0
DRAIN_SECONDS = 120.0
"""The journal's grace period, a broker's start and the longest pause between two attempts, several times."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one fault.

    Args:
        number: Of the fault.
        stand: The kind of stand it struck.
        rounds: Strikes.
        seconds: In all.
        answered: Distinct events answered 200.
        processed: Of them, in processed_events.
        dead_lettered: Meant to be, and were.
        lost: Answered and found nowhere.
        repeated: Effects beyond one per event.
        failure: What else went wrong, in one line; empty when nothing did.
    """

    number: int
    stand: str = "postgresql"
    rounds: int = 0
    seconds: float = 0.0
    answered: int = 0
    processed: int = 0
    dead_lettered: int = 0
    lost: int = 0
    repeated: int = 0
    failure: str = ""

    @property
    def is_good(self) -> bool:
        """Nothing lost, nothing twice, everything else as promised."""
        return not (self.failure or self.lost or self.repeated) and self.answered > 0


Say = Callable[[str], None]


def run_fault(stand: Stand, fault: Fault, seed: int, say: Say) -> Result:
    """Run one fault from load to verdict; a failed promise is in the result and not raised."""
    started = time.monotonic()
    chance = random.Random(f"{seed}:{fault.number}")
    traffic = Traffic(f"f{fault.number}-{seed:x}-{time.time_ns() // 1_000_000_000:x}")
    driver = Driver(stand.port, SECRET, traffic, Ledger(), rate=fault.rate, chance=random.Random(seed))
    result = Result(fault.number)
    try:
        with fault.arrange(stand):
            driver.start()
            rounds = _strike(Scene(stand, driver, chance), fault, say)
            result = replace(result, rounds=rounds)
            driver.stop()
            result = settle(stand, driver, result, say)
    except Exception as error:  # noqa: BLE001  # whatever broke is this fault's result
        driver.stop()
        say(traceback.format_exc())
        result = replace(settle_if_possible(stand, driver, result, say), failure=_one_line(error))
    return replace(result, seconds=time.monotonic() - started)


def settle(stand: Stand, driver: Driver, result: Result, say: Say) -> Result:
    """Wait until everything has drained, then compare.

    Raises:
        AssertionError: It did not drain, or an event was given up without need.
    """
    oracle = Oracle(stand.database_url, driver.traffic.run)
    ledger = driver.ledger
    try:
        _drain(stand, oracle, ledger, say)
        journalled = frozenset(digest_of(body) for body in stand.journals.bodies())
        verdict = oracle.verdict(ledger, journalled)
    finally:
        oracle.close()
    failure = _complaint(stand, verdict)
    return _with_verdict(replace(result, failure=failure), verdict)


def settle_if_possible(stand: Stand, driver: Driver, result: Result, say: Say) -> Result:
    """Settle after a failure, for the account's sake; what fails here is less than what failed before."""
    try:
        return settle(stand, driver, result, say)
    except Exception:  # noqa: BLE001  # the first failure is the one to tell
        return result


def _strike(scene: Scene, fault: Fault, say: Say) -> int:
    time.sleep(WARM_SECONDS)
    strikes = [strike for _ in range(fault.rounds) for strike in fault.strikes]
    for count, strike in enumerate(strikes, start=1):
        pause = scene.chance.uniform(0.3, 2.0)
        time.sleep(pause)
        say(f"strike {count}/{len(strikes)} after {pause:.2f} s: {strike.__name__.replace('_', ' ')}")
        strike(scene)
    scene.stand.wait_healthy(90)
    return len(strikes)


def _drain(stand: Stand, oracle: Oracle, ledger: Ledger, say: Say) -> None:
    started = told = time.monotonic()
    while not _is_settled(stand, oracle, ledger):
        now = time.monotonic()
        if now - started > DRAIN_SECONDS:
            return
        if now - told > TELL_SECONDS:
            told = now
            depth, missing = stand.queues.depth("events"), len(oracle.missing(ledger))
            say(f"draining: {stand.journals.size} bytes journalled, {depth} queued, {missing} missing")
        time.sleep(LOOK_SECONDS)


def _is_settled(stand: Stand, oracle: Oracle, ledger: Ledger) -> bool:
    return not stand.journals.segments() and stand.queues.are_drained() and not oracle.missing(ledger)


def _complaint(stand: Stand, verdict: Verdict) -> str:
    if verdict.wrongly_dead:
        return f"{verdict.wrongly_dead} sound events became dead letters"
    if segments := stand.journals.segments():
        return f"the journal did not empty: {len(segments)} segments, {stand.journals.size} bytes"
    if not stand.queues.are_drained():
        return f"the queue did not drain: {stand.queues.depth('events')} deliveries"
    return ""


def _with_verdict(result: Result, verdict: Verdict) -> Result:
    return replace(
        result,
        answered=verdict.answered,
        processed=verdict.processed,
        dead_lettered=verdict.dead_lettered,
        lost=verdict.lost,
        repeated=verdict.repeated,
    )


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:300]
