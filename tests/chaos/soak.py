"""Strike once a minute for an hour, and check that nothing is lost, repeated or leaked: `make soak`."""

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
"""The maximum factor by which a process's memory may grow after its first minute.

The normal variation between garbage collections is below this factor.
"""

MOST_DESCRIPTORS = 50
"""The maximum number of descriptors that a process may gain, not counting its clients' connections.

Files and connections to servers are opened and closed throughout the run.
"""

LEAST_ANSWERED = 0.9
"""The minimum share of the distinct due events that must be answered with 200.

The share is high because refused or interrupted events are retried until they are answered.
"""

LEAST_STRIKES = 0.5
"""The minimum number of strikes per minute, on average over the run."""

LEAST_LIFE = 0.5
"""The minimum share of the run's duration for which at least one process must be watched.

Growth becomes visible only in a process that lives for a long time.
"""

HOUR = 60.0
"""The length of a whole run, in minutes. Documentation pages do not quote shorter runs."""

SETTLED_SECONDS = 60.0
SHARE = 0.6
"""The load as a share of the stand's capacity. At this load, the backlog of an outage is usually processed
before the next outage begins."""

CAPACITY_EVENTS = 20_000
"""The number of events in the capacity measurement.

It is higher than for a single fault, because the first seconds of a burst are slower than an hour's average.
"""

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
"""The strikes of a soak. None of them ends the first worker's process. They allow any answer to requests,
because `make chaos` checks the answers during strikes."""


@dataclass(slots=True)
class Life:
    """One process's memory and number of descriptors, after its first minute and most recently."""

    born: float
    seen: float = 0.0
    settled: tuple[int, int] | None = None
    latest: tuple[int, int] = (0, 0)


@dataclass(slots=True)
class Watch:
    """The memory and descriptors of all the product's processes, including those that have ended."""

    lives: dict[int, Life] = field(default_factory=dict)

    def look(self, stand: Stand) -> None:
        """Record the memory and the number of descriptors of each running process."""
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
        """The largest factor by which the memory of a process has grown since its first minute."""
        return max(
            (life.latest[0] / life.settled[0] for life in self._settled() if life.settled), default=1.0
        )

    @property
    def descriptor_growth(self) -> int:
        """The largest number of descriptors that a process has gained since its first minute."""
        return max((life.latest[1] - life.settled[1] for life in self._settled() if life.settled), default=0)

    @property
    def longest_life(self) -> float:
        """The number of minutes for which the longest-lived process was watched."""
        return max(((life.seen - life.born) / 60 for life in self.lives.values()), default=0.0)

    @property
    def watched(self) -> int:
        """The number of processes that lived long enough for growth to become visible."""
        return len(self._settled())

    def _settled(self) -> list[Life]:
        return [life for life in self.lives.values() if life.settled]


def own_descriptors(process: psutil.Process, port: int) -> int:
    """Return how many descriptors a process has, not counting its clients' connections on *port*.

    After a stall, the sender can have 256 such connections, all of which it keeps open.
    """
    clients = [
        each
        for each in process.net_connections("tcp")
        if each.laddr.port == port and each.status == psutil.CONN_ESTABLISHED
    ]
    return process.num_fds() - len(clients)


def main() -> int:
    """Run the soak, and return 0 only if its figures are good."""
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
    """Strike a stand under load for *minutes*, compare all events, and return the figures."""
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
    """Strike about once a minute until the time *end*."""
    while time.monotonic() < end:
        pause = scene.chance.uniform(20.0, 60.0)
        _watch_until(scene.stand, watch, min(end, time.monotonic() + pause))
        form = scene.chance.choice(STRIKES)
        strike(scene, form)
        say(f"soak: {form.name}: {scene.proofs[-1]}")


def load_of(rate: float, capacity: float, *, is_told: bool) -> dict[str, Any]:
    """Return figures that describe how heavy the load was.

    Args:
        rate: The events sent per second.
        capacity: The stand's rate in a burst, measured just before the soak.
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
    """Return the last line of the output, for scripts."""
    names = ("events", "strikes", "lost", "repeated", "memory_growth", "descriptor_growth")
    counts = " ".join(f"{name}={figures[name]}" for name in names)
    return f"soak: {counts} {figures['complaint']}".rstrip()


def is_good(figures: Mapping[str, Any]) -> bool:
    """Return whether strikes had effects under load, all events are accounted for, and nothing leaked."""
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
