"""Strike once a minute for an hour, and check that nothing is lost, repeated or left behind: `make soak`."""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from tests.chaos import sparing
from tests.chaos.capacity import measured_capacity
from tests.chaos.faults import broker, database, edge
from tests.chaos.oracle import Oracle
from tests.chaos.plugin import keep, versions_of
from tests.chaos.run import DRAIN_SECONDS, REPEATED, STILL_SECONDS, Plan, drain, say, scene_of, strike
from tests.chaos.scene import ANYTHING, Form
from tests.chaos.stand import Stand, running_stand
from tests.figures import certificate
from tests.figures.evidence import record
from tests.servers import ensure_postgresql, ensure_rabbitmq
from tests.stand.product import SOURCES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.chaos.oracle import Verdict
    from tests.chaos.scene import Scene

MOST_GROWTH = 1.3
"""Growth factor of a process's memory since its second minute; garbage collection causes less."""

MOST_DESCRIPTORS = 50
"""Descriptors without the clients' connections: files, and connections to servers that come and go."""

LEAST_ANSWERED = 0.9
"""Share of the distinct events that were due: refused or interrupted events are retried, and answered
then."""

LEAST_STRIKES = 0.5
"""Strikes a minute."""

LEAST_LIFE = 0.5
"""Share of the run for which one process must be watched: growth shows only within a process's life."""

HOUR = 60.0
"""Minutes; no page quotes a shorter run."""

SETTLED_SECONDS = 60.0
SHARE = 0.6
"""Share of the stand's capacity: most of the time, the backlog of an outage is processed before the next
one."""

CAPACITY_EVENTS = 20_000
"""More events than for a fault: the first seconds of a burst are slower than an hour."""

STRIKES = (
    Form(edge.an_edge_process_is_killed, allowed=ANYTHING),
    Form(edge.the_edge_master_is_killed, allowed=ANYTHING),
    Form(edge.the_edge_is_reloaded, allowed=ANYTHING),
    Form(edge.the_edge_is_restarted, allowed=ANYTHING),
    Form(sparing.the_broker_is_killed, allowed=ANYTHING),
    Form(broker.all_connections_are_closed, allowed=ANYTHING),
    Form(broker.the_broker_is_frozen_and_killed, (2.0, 12.0), allowed=ANYTHING),
    Form(broker.a_memory_alarm, allowed=ANYTHING),
    Form(sparing.a_worker_is_killed, allowed=ANYTHING),
    Form(database.the_database_is_killed, allowed=ANYTHING),
)
"""No strike here ends the first worker's process. `make chaos` checks the requests during strikes."""


@dataclass(slots=True)
class Life:
    """The memory and descriptors of one process after it settled, and now."""

    born: float
    seen: float = 0.0
    settled: tuple[int, int] | None = None
    latest: tuple[int, int] = (0, 0)


@dataclass(slots=True)
class Watch:
    """Memory and descriptors of every process that the product has had."""

    lives: dict[int, Life] = field(default_factory=dict)

    def look(self, stand: Stand) -> None:
        """Record the memory and descriptors of each living process."""
        now = time.monotonic()
        for pid in [stand.edge.pid, *stand.edge.children(), *(worker.pid for worker in stand.workers)]:
            life = self.lives.setdefault(pid, Life(now))
            life.seen = now
            try:
                process = psutil.Process(pid)
                life.latest = (process.memory_info().rss, own_descriptors(process, stand.product.port))
            except psutil.NoSuchProcess:
                continue
            if life.settled is None and now - life.born > SETTLED_SECONDS:
                life.settled = life.latest

    @property
    def memory_growth(self) -> float:
        """The largest factor by which a settled process grew."""
        return max(
            (life.latest[0] / life.settled[0] for life in self._settled() if life.settled), default=1.0
        )

    @property
    def descriptor_growth(self) -> int:
        """The most descriptors that a settled process has gained."""
        return max((life.latest[1] - life.settled[1] for life in self._settled() if life.settled), default=0)

    @property
    def longest_life(self) -> float:
        """Return the minutes for which the longest-lived process was watched."""
        return max(((life.seen - life.born) / 60 for life in self.lives.values()), default=0.0)

    @property
    def watched(self) -> int:
        """Return how many processes lived long enough for growth to show."""
        return len(self._settled())

    def _settled(self) -> list[Life]:
        return [life for life in self.lives.values() if life.settled]


def own_descriptors(process: psutil.Process, port: int) -> int:
    """Return how many descriptors a process has without its clients' connections on *port*.

    After a stall the sender has up to 256 of them open, and keeps them.
    """
    clients = [
        each
        for each in process.net_connections("tcp")
        if each.laddr.port == port and each.status == psutil.CONN_ESTABLISHED
    ]
    return process.num_fds() - len(clients)


def main() -> int:
    """Return 0 only if nothing was lost, repeated or left behind."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.soak", description=__doc__)
    parser.add_argument("minutes", type=float, nargs="?", default=60.0)
    parser.add_argument("--seed", type=lambda text: int(text, 16), default=secrets.randbits(32))
    parser.add_argument("--rate", type=float, help="events a second (default: 60 %% of what the stand takes)")
    parser.add_argument("--json", type=Path, help="keep an hour's figures in this file")
    options = parser.parse_args()
    ensure_rabbitmq()
    ensure_postgresql()
    with (
        tempfile.TemporaryDirectory(prefix="open-messaging-soak-") as directory,
        running_stand("postgresql", Path(directory)) as stand,
    ):
        birth = certificate(seed=f"{options.seed:x}", servers=versions_of(stand), root=SOURCES)
        figures = soak(stand, options.seed, options.minutes, options.rate)
    line = line_of(figures)
    print(line)
    if options.json and options.minutes >= HOUR:
        keep(options.json, {"certificate": birth, "line": line, "soak": figures})
        record("soak", line, passed=is_good(figures), birth=birth)
    return 0 if is_good(figures) else 1


def soak(stand: Stand, seed: int, minutes: float, rate: float | None = None) -> dict[str, Any]:
    """Soak a stand, settle the account, and return the result."""
    capacity = measured_capacity(stand, "soak-capacity", CAPACITY_EVENTS)
    scene, watch = scene_of(stand, "soak", Plan(seed), rate or SHARE * capacity), Watch()
    say(f"soak: seed {seed:x}, {scene.load.rate:.0f} events/s")
    try:
        _strike_on(scene, watch, time.monotonic() + minutes * 60)
        scene.load.stop()
    finally:
        scene.close()
    scene.ledger.note_answered(map(scene.traffic.body, scene.load.answered))
    oracle = Oracle(stand, scene.traffic.run, scene.ledger)
    drain(oracle, STILL_SECONDS, 2 * DRAIN_SECONDS)
    watch.look(stand)
    load = load_of(scene.load.rate, capacity, is_told=rate is not None)
    return {"minutes": minutes} | load | _figures(scene, watch, oracle.verdict())


def _strike_on(scene: Scene, watch: Watch, end: float) -> None:
    """Strike about once a minute until the end."""
    while time.monotonic() < end:
        pause = scene.chance.uniform(20.0, 60.0)
        _watch_until(scene.stand, watch, min(end, time.monotonic() + pause))
        form = scene.chance.choice(STRIKES)
        strike(scene, form)
        say(f"soak: {form.name}: {scene.proofs[-1]}")


def load_of(rate: float, capacity: float, *, is_told: bool) -> dict[str, Any]:
    """Return how heavy the load was.

    Args:
        rate: Events a second.
        capacity: The stand's rate in a burst, measured just before.
        is_told: Whether an option set the rate; otherwise it is derived from the capacity.
    """
    return {
        "rate": round(rate),
        "capacity": round(capacity),
        "share": round(rate / capacity, 2),
        "is_rate_told": is_told,
    }


def _figures(scene: Scene, watch: Watch, verdict: Verdict) -> dict[str, Any]:
    return {
        "events": verdict.answered,
        "strikes": len(scene.proofs),
        "lost": verdict.lost,
        "repeated": verdict.repeated,
        "memory_growth": round(watch.memory_growth, 2),
        "descriptor_growth": watch.descriptor_growth,
        "watched": watch.watched,
        "longest_life_minutes": round(watch.longest_life),
        "complaint": verdict.complaint,
        **{name.replace("99.9", "999"): value for name, value in scene.load.seen().figures().items()},
    }


def line_of(figures: Mapping[str, Any]) -> str:
    """Return the last line."""
    names = ("events", "strikes", "lost", "repeated", "memory_growth", "descriptor_growth")
    counts = " ".join(f"{name}={figures[name]}" for name in names)
    return f"soak: {counts} {figures['complaint']}".rstrip()


def is_good(figures: Mapping[str, Any]) -> bool:
    """Return whether strikes struck under load, and nothing was lost, repeated, left behind or leaked."""
    is_clean = not (figures["lost"] or figures["repeated"] or figures["complaint"])
    due = figures["rate"] * figures["minutes"] * 60 * (1 - REPEATED)
    is_under_load = figures["events"] >= LEAST_ANSWERED * due
    is_struck = figures["strikes"] >= LEAST_STRIKES * figures["minutes"]
    is_flat = figures["memory_growth"] <= MOST_GROWTH and figures["descriptor_growth"] <= MOST_DESCRIPTORS
    is_watched = figures["longest_life_minutes"] >= LEAST_LIFE * figures["minutes"] and figures["watched"] > 0
    return is_clean and is_under_load and is_struck and is_flat and is_watched


def _watch_until(stand: Stand, watch: Watch, moment: float) -> None:
    while time.monotonic() < moment:
        time.sleep(5.0)
        watch.look(stand)


if __name__ == "__main__":
    sys.exit(main())
