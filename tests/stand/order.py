"""Define which requests a sender sends, and when."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.stand.traffic import Traffic


class Requests(Protocol):
    """Whole HTTP requests, by number."""

    def __getitem__(self, number: int) -> bytes: ...


@dataclass(frozen=True, slots=True)
class RequestFile:
    """Prepared requests of one size, one after the other in a file.

    Args:
        data: The file's content.
        size: The length of each request in bytes.
    """

    data: mmap.mmap
    size: int

    def __getitem__(self, number: int) -> bytes:
        return self.data[number * self.size : (number + 1) * self.size]


def _mapped(path: Path) -> mmap.mmap:
    """Map a file into memory, because the file can be large, and the sender can send only part of it."""
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


@dataclass(frozen=True, slots=True)
class Order:
    """The requests to send.

    Args:
        port: The server's port on loopback.
        output: The file for the records.
        run: The run whose traffic is sent; empty if *path* and *size* name prepared requests instead.
        event_type: The type of every event; if empty, events have the types of an ordinary conversation.
        first: The number of the first request.
        count: How many numbered requests to send; 0 means no limit.
        rate: Requests per second. The rate can be changed later.
        connections: The maximum number of open connections.
        repeated: The share of requests that repeat an earlier body, as retries after a lost answer do.
        retries: How often a refused or failed request is retried.
        retry_seconds: Seconds from a failed try to its retry.
        timeout_seconds: The time limit for an answer.
        turn_seconds: Seconds between two checks for due requests and for answers. Measured latencies are too
            long by up to this time.
        seed: The seed that decides which bodies are repeated.
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
    """One attempt to send a request: when it is due, the request's number, and the attempt's number."""

    due: float
    number: int
    attempt: int = 1
