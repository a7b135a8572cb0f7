"""Strike the journal: its disk full, its limit reached, its files damaged."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.chaos.journal import records_in
from tests.chaos.service import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.chaos.driver import Watched
    from tests.chaos.scene import Scene
    from tests.chaos.stand import Stand

DISK = "2m"
DISK_RATE = 800.0
"""Fills the disk in some seconds."""

LEAST_LIMIT = str(1024 * 1024)
DEFAULT_LIMIT = str(1024 * 1024 * 1024)
FULL_SECONDS = 60.0


@contextmanager
def on_a_small_disk(stand: Stand) -> Iterator[None]:
    """Give the edge a state directory on a file system of its own."""
    usual, small = stand.journals.root.parent, stand.directory / "small"
    small.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(small)], check=True)
    _move(stand, small)
    try:
        yield
    finally:
        _move(stand, usual)
        subprocess.run(["umount", str(small)], check=False)


def the_disk_is_full(scene: Scene) -> None:
    """Take the broker away until the journal's disk is full."""
    _fill(scene)


def the_limit_is_reached(scene: Scene) -> None:
    """Take the broker away until the journal has reached its limit."""
    scene.stand.edge.reconfigure(OM_JOURNAL_MAX_BYTES=LEAST_LIMIT)
    scene.stand.wait_healthy()
    _fill(scene)
    scene.stand.edge.reconfigure(OM_JOURNAL_MAX_BYTES=DEFAULT_LIMIT)
    scene.stand.wait_healthy()


def a_byte_is_flipped(scene: Scene) -> None:
    """Change one byte in the journal of a dead process; its neighbours are recovered."""

    def flip(path: Path) -> None:
        offset, body = scene.chance.choice(records_in(path))
        scene.driver.ledger.excuse(body)
        with path.open("r+b") as file:
            file.seek(offset + scene.chance.randrange(len(body)))
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 0x20]))

    _damage(scene, flip)


def the_end_is_cut_off(scene: Scene) -> None:
    """Cut a journal in the middle of its last record; what stands before is recovered."""

    def cut(path: Path) -> None:
        offset, body = records_in(path)[-1]
        scene.driver.ledger.excuse(body)
        os.truncate(path, offset + scene.chance.randrange(len(body)))

    _damage(scene, cut)


def _fill(scene: Scene) -> None:
    stand, usual = scene.stand, scene.driver.rate
    logs = stand.watch_logs()
    with scene.driver.watch() as seen:
        stand.broker.stop()
        scene.driver.rate = DISK_RATE
        wait_until(lambda: 503 in scene.driver.watch_for(0.5).statuses, FULL_SECONDS, "senders are told 503")
        scene.wait(1.0, 3.0)
        scene.driver.rate = usual
        stand.broker.start()
        stand.wait_healthy()
        wait_until(
            lambda: set(scene.driver.watch_for(1.0).statuses) == {200},
            FULL_SECONDS,
            "senders are let in again",
        )
    _expect_told(seen)
    assert logs.tell("journal_full"), "the edge did not say that its journal is full"


def _expect_told(seen: Watched) -> None:
    assert set(seen.statuses) <= {200, 503}, (
        f"other answers than 200 and 503: {seen.statuses} {seen.failures}"
    )
    mute = [reply for reply in seen.replies if reply.status == 503 and not reply.retry_after]
    assert not mute, f"{len(mute)} refusals came without Retry-After"


def _damage(scene: Scene, damage: Callable[[Path], None]) -> None:
    """Kill broker and edge, damage a journal while nobody looks, start both."""
    stand = scene.stand
    kept = stand.journals.root.parent / "damaged"
    before = len(list(kept.glob("*")))
    logs = stand.watch_logs()
    stand.broker.kill()
    scene.wait(1.0, 2.0)
    stand.edge.stop(signal.SIGKILL)
    damage(scene.chance.choice([path for path in stand.journals.segments() if records_in(path)]))
    stand.edge.start()
    stand.broker.start()
    stand.wait_healthy()
    wait_until(lambda: logs.tell("journal_segment_damaged"), 20, "the edge tells of the damage")
    wait_until(lambda: len(list(kept.glob("*"))) > before, 30, "the damaged file is kept for a person")


def _move(stand: Stand, state: Path) -> None:
    """Let the edge start anew with another state directory, once the present one is done with."""
    wait_until(lambda: not stand.journals.segments(), 60, "the journal empties")
    stand.edge.reconfigure(OM_STATE_DIRECTORY=str(state))
    stand.journals.root = state / "journal"
    stand.wait_healthy()
