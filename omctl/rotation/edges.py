"""Ask the edges which secrets they take, and what each has verified."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import requests

from omctl.rotation.plan import EdgeAwayError

if TYPE_CHECKING:
    from collections.abc import Sequence

REQUEST_SECONDS: Final = 5.0


class Edges:
    """The edges of all hosts.

    Args:
        urls: Where each one's readiness is asked.
    """

    def __init__(self, urls: Sequence[str]) -> None:
        self._urls = urls

    def verified(self) -> dict[str, dict[str, int]]:
        """Return, of each process of each edge, what each secret has verified, by the secret's id.

        A process without a secret's id has been told of none, or is of a version that does not count.

        Raises:
            EdgeAwayError: An edge does not answer.
        """
        return {
            f"{url} {process['pid']}": dict(process.get("signatures", {}))
            for url in self._urls
            for process in self._processes(url)
        }

    def _processes(self, url: str) -> list[dict[str, dict[str, int]]]:
        try:
            processes = requests.get(url, timeout=REQUEST_SECONDS).json()["processes"]
        except (requests.RequestException, ValueError, KeyError, TypeError) as error:
            raise EdgeAwayError(f"the edge at {url} does not answer ({type(error).__name__})") from None
        return list(processes)
