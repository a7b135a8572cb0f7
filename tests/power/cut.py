"""Cut the power of an edge under load, and compare its answered events with the events on its disk."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import requests

from tests.power.disk import Disk
from tests.services import Edge, Service, signature
from webhook_api.journal import Entry, journal_directories, list_segments, read_segment

if TYPE_CHECKING:
    from pathlib import Path

SENDERS = 2
NO_BROKER = "amqp://127.0.0.1:1/"
"""An address at which no broker runs, so that every event stays in the journal."""

ANSWER_SECONDS = 0.1
"""How long the senders can still read the answers that the edge sent before the cut, in seconds."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The result of cutting the power of an edge host once.

    Args:
        answered: The number of events answered with 200.
        lost: The number of answered events that are not on disk.
        lost_s: The age of the oldest lost event at the time of the cut, in seconds; 0 if none was lost.
    """

    answered: int
    lost: int
    lost_s: float


class Senders:
    """Threads that post events until the edge has ended. `answered` maps each body to the time of its 200."""

    def __init__(self, url: str) -> None:
        self.answered: dict[bytes, float] = {}
        self._url = url
        self._threads = [
            threading.Thread(target=self._send, args=(one,), daemon=True) for one in range(SENDERS)
        ]
        for thread in self._threads:
            thread.start()

    def _send(self, sender: int) -> None:
        session = requests.Session()
        with suppress(requests.RequestException):
            for number in range(1_000_000):
                body = b'{"sender":%d,"number":%d}' % (sender, number)
                headers = {"X-Hub-Signature-256": signature(body)}
                if (
                    session.post(self._url, data=body, headers=headers, timeout=60).status_code
                    == requests.codes.ok
                ):
                    self.answered[body] = time.monotonic()

    def join(self) -> None:
        """Wait until all sender threads have noticed that the edge has ended."""
        for thread in self._threads:
            thread.join()


def cut_power(directory: Path, seconds: float, *, fsync: bool) -> Cut:
    """Run an edge under load on a new disk for *seconds*, cut the power, and return the result."""
    directory.mkdir()
    disk, after = Disk(directory / "disk", directory / "state"), directory / "disk-after"
    disk.format()
    edge = Edge(Service(directory, NO_BROKER, settings={"OM_JOURNAL_FSYNC": str(fsync).lower()}))
    with disk.mounted():
        edge.start(wait_for_broker=False)
        senders = Senders(edge.url)
        time.sleep(seconds)
        _signal(edge.pid, signal.SIGSTOP)
        time.sleep(ANSWER_SECONDS)
        cut_at, answered = time.monotonic(), dict(senders.answered)
        disk.copy_as_cut(after)
        _signal(edge.pid, signal.SIGKILL)
        edge.end(signal.SIGKILL, timeout=15)
        senders.join()
    kept = _read(Disk(after, directory / "after"))
    lost = {body: at for body, at in answered.items() if body not in kept}
    return Cut(len(answered), len(lost), cut_at - min(lost.values(), default=cut_at))


def _signal(pid: int, number: signal.Signals) -> None:
    os.killpg(os.getpgid(pid), number)


def _read(disk: Disk) -> set[bytes]:
    """Return the bodies in all journals on a disk, as the next edge process would read them."""
    with disk.mounted() as state:
        root = state / "journal"
        segments = [
            segment for directory in journal_directories(root) for segment in list_segments(directory)
        ]
        records = [record for segment in segments for record in read_segment(segment.path)]
    return {record.body for record in records if isinstance(record, Entry)}
