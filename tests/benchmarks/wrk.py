"""Load a server with wrk over a few connections, each of which awaits an answer before its next request."""

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
ON_THE_WAY: Final = 2 * CONNECTIONS
"""The maximum number of requests that are still unanswered when wrk stops, which it does twice: after the
warm-up and after the measurement."""


class LoadError(RuntimeError):
    """The load failed or measured something other than the server, so the scenario is not valid."""


@dataclass(frozen=True, slots=True)
class Load:
    """The result of a load on a server.

    Args:
        answered: The number of requests answered with 200.
        seconds: The duration of the load in seconds.
        refused: The number of requests answered with 4xx or 5xx.
        socket_errors: The number of connections that were refused, reset or timed out.
    """

    answered: int
    seconds: float
    refused: int
    socket_errors: int

    @property
    def per_second(self) -> float:
        """The number of requests per second that were answered with 200."""
        return self.answered / self.seconds

    @property
    def is_clean(self) -> bool:
        """Whether every request was answered with 200."""
        return not self.refused and not self.socket_errors


def is_kept(answered: int, found: int) -> bool:
    """Return whether at least *answered* events were found, but no more than can have been sent."""
    return answered <= found <= answered + ON_THE_WAY


def load(port: int, requests: RequestFile, *, seconds: float, first: int = 0) -> Load:
    """Send each request of the file once, starting with number *first*, and return the result.

    Raises:
        LoadError: wrk failed, or the file contained too few requests.
    """
    options = ["-t1", f"-c{CONNECTIONS}", f"-d{seconds:.0f}s", "-s", str(SCRIPT), f"http://127.0.0.1:{port}/"]
    arguments = map(str, (requests.path, requests.size, requests.count, first))
    done = subprocess.run(["wrk", *options, "--", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise LoadError(f"wrk failed: {done.stdout}{done.stderr}")
    summary = json.loads(done.stdout.splitlines()[-1])
    sent = summary.pop("requests")
    if first + sent + CONNECTIONS > requests.count:
        raise LoadError(f"{requests.count} requests were too few for {seconds} s")
    return Load(answered=sent - summary["refused"], **summary)
