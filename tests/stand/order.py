"""Define the requests of a sender and their times."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.stand.traffic import Traffic


class Requests(Protocol):
    """Whole requests by number."""

    def __getitem__(self, number: int) -> bytes: ...


@dataclass(frozen=True, slots=True)
class RequestFile:
    """Prepared requests of one size, one after the other in a file.

    Args:
        data: The file's content.
        size: Bytes of each request.
    """

    data: mmap.mmap
    size: int

    def __getitem__(self, number: int) -> bytes:
        return self.data[number * self.size : (number + 1) * self.size]


def _mapped(path: Path) -> mmap.mmap:
    """Map a file: it may be large, and possibly only a part of it is sent."""
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


@dataclass(frozen=True, slots=True)
class Order:
    """The requests to send.

    Args:
        port: On loopback.
        output: The file that gets the records.
        run: Whose traffic it is; empty where *path* and *size* name prepared requests instead.
        event_type: Of every event; empty for the types of an ordinary conversation.
        first: The first number.
        count: How many numbers; 0 for no end.
        rate: Per second; may be changed later.
        connections: Kept open at most.
        repeated: Share of requests that repeat an earlier body, as retries after a lost answer do.
        retries: How often a refused or failed request is tried again.
        retry_seconds: How much later.
        timeout_seconds: The time limit for an answer.
        turn_seconds: Between two checks of due requests and answers. Latencies grow by this at most.
        seed: Chooses the repeated bodies.
    """

    port: int
    output: str
    run: str = ""
    event_type: str = ""
    path: str = ""
    size: int = 0
    first: int = 0
    count: int = 0
    rate: float = 0.0
    connections: int = 64
    repeated: float = 0.0
    retries: int = 5
    retry_seconds: float = 5.0
    timeout_seconds: float = 10.0
    turn_seconds: float = 0.001
    seed: int = 0

    def requests(self) -> Requests:
        """Return the requests by number."""
        if self.run:
            return Traffic(self.run, self.event_type)
        return RequestFile(_mapped(Path(self.path)), self.size)


@dataclass(frozen=True, slots=True, order=True)
class Try:
    """One request at one time."""

    due: float
    number: int
    attempt: int = 1
