"""Inject faults into the journal: a full disk, a reached limit, damaged files, or no free descriptors."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tests.chaos.bounds import CATCHES_UP
from tests.chaos.journals import Journals, records_in
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.chaos.scene import Scene
    from tests.chaos.stand import Stand

DISK = 4
"""The size of the disk as a multiple of ROOM: large enough not to fill up while a broker starts."""

RATE = 300.0
"""Events sent per second. Refused events are retried up to five times. If the rate were half of a stand's
capacity, the stand could not process the retries as well, so no backlog would shrink."""

LIMIT_SECONDS = 40.0
"""How many seconds of traffic fit on the nearly full disk, or within the journal's limit.

The events of the last ten seconds are always in the journal, and retries raise the rate up to fourfold.
"""

EVENT_BYTES = 400
"""The approximate number of bytes that an event takes in the journal."""

ROOM = round(LIMIT_SECONDS * RATE * EVENT_BYTES)
NEARLY_FULL = 65536
KNOCKS = 20
"""How many more connections to open than there are free descriptors."""

DEFAULT_LIMIT = str(1024 * 1024 * 1024)
NEARLY = 0.8


@contextmanager
def on_a_small_disk(stand: Stand) -> Iterator[None]:
    """Move the edge's state directory to a small file system for a `with` block."""
    usual, small = stand.journals.state, stand.directory / "small"
    small.mkdir(exist_ok=True)
    options = f"size={DISK * ROOM}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(small)], check=True)
    _move(stand, small)
    try:
        yield
        _move(stand, usual)
    finally:
        subprocess.run(["umount", "--lazy", str(small)], check=False)


@contextmanager
def the_disk_is_full(scene: Scene) -> Iterator[None]:
    """Leave little space on the journal's disk, then stop the broker until the disk is full."""
    state = scene.stand.journals.state
    filler = state / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, _free(state) - ROOM)
    try:
        with _filled(scene, f"less than {NEARLY_FULL} bytes are free", lambda: _free(state) < NEARLY_FULL):
            yield
    finally:
        filler.unlink()


@contextmanager
def the_limit_is_reached(scene: Scene) -> Iterator[None]:
    """Stop the broker until the journal has reached its limit."""
    stand = scene.stand
    stand.reconfigure_edge(OM_JOURNAL_MAX_BYTES=str(ROOM))
    words = f"{NEARLY:.0%} of {ROOM} bytes are journalled"
    with _filled(scene, words, lambda: stand.journals.size > NEARLY * ROOM):
        size = stand.journals.size
        assert size <= ROOM, f"{size} bytes are journalled, more than {ROOM}"
        yield
    stand.reconfigure_edge(OM_JOURNAL_MAX_BYTES=DEFAULT_LIMIT)


@contextmanager
def a_byte_is_flipped(scene: Scene) -> Iterator[None]:
    """Change one byte in the journal of a dead process. The neighbouring records must be recovered."""

    def flip(path: Path) -> None:
        record = scene.chance.choice(records_in(path))
        scene.ledger.excuse_all([record.body])
        with path.open("r+b") as file:
            file.seek(record.offset + scene.chance.randrange(len(record.body)))
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 0x20]))

    with _damaged(scene, flip):
        yield


@contextmanager
def the_end_is_cut_off(scene: Scene) -> Iterator[None]:
    """Truncate a journal within its last record. The earlier records must be recovered."""

    def cut(path: Path) -> None:
        record = records_in(path)[-1]
        scene.ledger.excuse_all([record.body])
        os.truncate(path, record.offset + scene.chance.randrange(len(record.body)))

    with _damaged(scene, cut):
        yield


@contextmanager
def descriptors_run_out(scene: Scene) -> Iterator[None]:
    """Limit the edge's processes to the descriptors that they already use, and connect until none is free."""
    stand, processes = scene.stand, scene.stand.edge.children()
    usual = {pid: resource.prlimit(pid, resource.RLIMIT_NOFILE) for pid in processes}
    for pid in processes:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (_highest(pid) + 1, usual[pid][1]))
    log, start = stand.edge.log, stand.edge.log.stat().st_size
    knocking = [_knock(stand.product.port) for _ in range(KNOCKS + sum(map(_holes, processes)))]
    try:
        yield
        told = log.read_bytes()[start:]
        scene.prove("a process was refused a descriptor", has_struck=b"accepting_paused" in told)
        assert set(stand.edge.children()) == set(processes), "an edge process died"
    finally:
        for pid, limits in usual.items():
            with suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
        for connection in knocking:
            connection.close()
    assert not stand.journals.aside("damaged"), "an intact segment was taken for damaged"


def _highest(pid: int) -> int:
    return max(int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir())


def _holes(pid: int) -> int:
    """Return how many descriptor numbers below the process's highest open descriptor are free."""
    return _highest(pid) + 1 - len(list(Path(f"/proc/{pid}/fd").iterdir()))


def _knock(port: int) -> socket.socket:
    connection = socket.socket()
    connection.setblocking(False)
    connection.connect_ex(("127.0.0.1", port))
    return connection


@contextmanager
def _filled(scene: Scene, words: str, is_full: Callable[[], bool]) -> Iterator[None]:
    """Stop the broker until the journal is full, check that senders are refused, and start the broker."""
    stand, load = scene.stand, scene.load
    log, start = stand.edge.log, stand.edge.log.stat().st_size
    stand.broker.stop()
    try:
        scene.await_proof(words, is_full)
        scene.wait_until(lambda: load.latest(0.5)[503], "senders are told 503")
        yield
    finally:
        stand.broker.start()
    stand.wait_healthy()
    scene.wait_until(lambda: set(load.latest(1.0)) == {200}, "senders are let in again")
    wait_until(lambda: stand.journals.size < ROOM / 2, CATCHES_UP, "the backlog is published")
    mute = [each for each in load.seen().tries if each.status == 503 and not each.retry_after]
    assert not mute, f"{len(mute)} refusals came without Retry-After"
    assert b"journal_full" in log.read_bytes()[start:], "the edge did not report that its journal is full"


@contextmanager
def _damaged(scene: Scene, damage: Callable[[Path], None]) -> Iterator[None]:
    """Kill the broker and the edge, let *damage* change a journal, and start the edge and then the broker."""
    stand = scene.stand
    before = len(stand.journals.aside("damaged"))
    log, start = stand.edge.log, stand.edge.log.stat().st_size
    stand.broker.kill()
    scene.wait(1.0, 2.0)
    stand.edge.stop(signal.SIGKILL)
    victim = scene.chance.choice([path for path in stand.journals.segments() if records_in(path)])
    whole = victim.read_bytes()
    damage(victim)
    scene.prove(f"{victim.name} of {len(whole)} bytes is damaged", has_struck=victim.read_bytes() != whole)
    stand.edge.start()
    yield
    stand.broker.start()
    stand.wait_healthy()
    scene.wait_until(
        lambda: b"journal_segment_damaged" in log.read_bytes()[start:], "the edge reports the damage"
    )
    wait_until(
        lambda: len(stand.journals.aside("damaged")) > before,
        CATCHES_UP,  # the edge reads the backlog in order, so the damaged file might be the last
        "the damaged file is kept",
    )


def _free(directory: Path) -> int:
    told = os.statvfs(directory)
    return told.f_bavail * told.f_bsize


def _move(stand: Stand, state: Path) -> None:
    """Wait until the present journal is empty, then restart the edge with the state directory *state*."""
    wait_until(lambda: not stand.journals.segments(), stand.patience, "the journal empties")
    stand.journals = Journals(state)
    stand.reconfigure_edge(OM_STATE_DIRECTORY=str(state))
