"""Inject faults into the host's clock: step it back and forth by an hour."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tests.servers import INSTALL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.scene import Scene
    from tests.chaos.stand import Stand

HOUR = 3600
FEW = 1000
"""The maximum number of deliveries left in the queue after a strike; workers commit these within a second."""

CAUGHT_UP = 20
"""The maximum number of deliveries in the queue if only the newest events wait there."""

ELSEWHEN = """
    SELECT count(*) FROM processed_events
    WHERE conversation_id LIKE :run AND abs(extract(epoch FROM received_at - now()) - :step) < 1700
"""
"""Counts events recorded as received about :step seconds from now. The tolerance is longer than a strike."""


def library() -> Path | None:
    """Return the path of libfaketime if it is installed (Debian: libfaketime)."""
    return next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)


def ensure_library() -> None:
    """Install libfaketime if it is missing."""
    if library() is None:
        subprocess.run(["sh", INSTALL, "libfaketime"], check=True)


@contextmanager
def with_a_false_clock(stand: Stand) -> Iterator[None]:
    """Preload a library that shifts the wall clock, but not the monotonic clock, by the seconds in a file."""
    ensure_library()
    _write(stand, 0)
    false = {
        "LD_PRELOAD": str(library()),
        "FAKETIME_TIMESTAMP_FILE": str(_file(stand)),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    _reconfigure(stand, false)
    try:
        yield
    finally:
        _reconfigure(stand, dict.fromkeys(false, ""))


@contextmanager
def the_clock_steps(scene: Scene) -> Iterator[None]:
    """Step the clock by an hour and back, in both directions; kill an edge process during the second step."""
    stand, run = scene.stand, f"{scene.traffic.run}-%"
    step = scene.chance.choice((HOUR, -HOUR))

    def received_at(seconds: int) -> int:
        return stand.ask(ELSEWHEN, run=run, step=seconds)

    before = {seconds: received_at(seconds) for seconds in (step, -step)}
    _write(stand, step)
    yield
    _write(stand, 0)
    scene.wait(2.0, 3.0)
    _write(stand, -step)
    scene.wait(2.0, 3.0)
    victim = scene.chance.choice(stand.edge.children())
    os.kill(victim, signal.SIGKILL)
    scene.wait(2.0, 3.0)
    _write(stand, 0)
    # With a wrong clock, the workers are slower than the measured capacity, so they can be minutes behind.
    scene.let_catch_up(FEW)
    scene.prove(f"edge process {victim} is gone", has_struck=victim not in stand.edge.children())
    for seconds, count in before.items():
        scene.await_proof(
            f"events were received {seconds:+d} s from now",
            lambda seconds=seconds, count=count: received_at(seconds) > count,
        )


@contextmanager
def one_host_is_an_hour_ahead(scene: Scene) -> Iterator[None]:
    """Restart the second worker of each role with a clock that is an hour ahead."""
    stand = scene.stand
    assert stand.behind is not None
    host = [program for program in stand.programs if program.name.endswith("-2")]
    false = {"LD_PRELOAD": str(library()), "FAKETIME": "+3600", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    for program in host:
        program.reconfigure(**false)
    scene.await_proof(
        f"{len(host)} programs log an hour ahead",
        lambda: all(_is_ahead(program.log) for program in host),
    )
    try:
        # The restart alone causes a backlog, so wait until that is processed. An event that the wrong clock
        # delays would wait for an hour.
        scene.let_catch_up(CAUGHT_UP)
        scene.wait(5.0, 5.0)
        yield
        # The restart at the end also delays events, so wait until the strike's last events are delivered.
        scene.wait(10.0, 10.0)
    finally:
        for program in host:
            program.reconfigure(**dict.fromkeys(false, ""))


def _is_ahead(log: Path) -> bool:
    """Return whether the newest time in a log is about an hour ahead."""
    found = re.findall(r'"timestamp": ?"([^"]+)"', log.read_text(encoding="utf-8"))
    return bool(found) and datetime.fromisoformat(found[-1]).timestamp() > time.time() + HOUR / 2


def _reconfigure(stand: Stand, settings: dict[str, str]) -> None:
    for program in stand.programs:
        program.reconfigure(**settings)
    stand.wait_healthy()


def _file(stand: Stand) -> Path:
    return stand.directory / "clock"


def _write(stand: Stand, seconds: int) -> None:
    """Replace the file atomically, so that no reader finds half a number."""
    new = _file(stand).with_suffix(".new")
    new.write_text(f"{seconds:+d}\n", encoding="ascii")
    new.replace(_file(stand))
