"""Load a server with wrk: as many requests as it answers, over a few keep-alive connections."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tests.benchmarks.events import RequestFile

CONNECTIONS: Final = 16
SCRIPT: Final = Path(__file__).with_name("requests.lua")


class LoadError(RuntimeError):
    """The load could not be made, or says nothing about the server."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a server did under load.

    Args:
        answered: Requests answered 200.
        seconds: How long they took.
        refused: Requests answered with 4xx or 5xx.
        socket_errors: Connections refused, reset or timed out.
    """

    answered: int
    seconds: float
    refused: int
    socket_errors: int

    @property
    def per_second(self) -> float:
        """Requests answered 200 per second."""
        return self.answered / self.seconds


def load(port: int, requests: RequestFile, *, seconds: float, first: int = 0) -> Load:
    """Send requests of the file, each once, and return what came back.

    Args:
        port: Where the server listens on loopback.
        requests: What to send.
        seconds: For how long.
        first: The number of the first request.

    Raises:
        LoadError: wrk failed, or the file held too few requests.
    """
    command = [
        "wrk",
        "-t1",
        f"-c{CONNECTIONS}",
        f"-d{seconds:.0f}s",
        "-s",
        str(SCRIPT),
        f"http://127.0.0.1:{port}/",
    ]
    arguments = [str(requests.path), str(requests.size), str(requests.count), str(first)]
    done = subprocess.run([*command, "--", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise LoadError(f"wrk failed: {done.stdout}{done.stderr}")
    summary = json.loads(done.stdout.splitlines()[-1])
    if first + summary["requests"] + CONNECTIONS > requests.count:
        raise LoadError(f"{requests.count} requests were too few for {seconds} s")
    return Load(
        answered=summary["requests"] - summary["refused"],
        seconds=summary["seconds"],
        refused=summary["refused"],
        socket_errors=summary["socket_errors"],
    )
