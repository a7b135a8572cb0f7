"""Carry out a rotation; each step may end one run of the command and begin another."""

import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Final

import requests

from omctl.connect.registrar import Registrar
from omctl.connect.registration import Configured
from omctl.connect.rotation import (
    STEPS,
    EdgeAwayError,
    Facts,
    RotationError,
    RotationStep,
    Signatures,
    Watch,
    next_step,
)
from omctl.connect.secrets_file import SecretsFile
from webhook_api.signature import secret_id

TIMEOUT_SECONDS: Final = 600.0
QUIET_SECONDS: Final = 120.0
"""The platform repeats a webhook for 85 s, and it is not documented whether it signs a repetition anew."""

POLL_SECONDS: Final = 1.0
"""How often the edges are asked; they update their reports as often."""
REQUEST_SECONDS: Final = 5.0


def read_signatures(urls: Sequence[str]) -> Signatures:
    """Return what each process of the edges has verified, by the readiness URLs of the edges.

    Raises:
        EdgeAwayError: An edge does not answer.
    """
    found: dict[str, dict[str, int]] = {}
    for url in urls:
        try:
            processes = requests.get(url, timeout=REQUEST_SECONDS).json()["processes"]
        except (requests.RequestException, ValueError, KeyError, TypeError) as error:
            raise EdgeAwayError(f"the edge at {url} does not answer ({type(error).__name__})") from None
        found |= {f"{url} {process['pid']}": dict(process.get("signatures", {})) for process in processes}
    return found


class Rotation:
    """One rotation of the secret.

    Args:
        file: The secrets file.
        edges: Reads the signatures of all edges that use the file or a copy of it.
        configured: The integration.
        reload: The shell command that brings the file to the edges; empty if an operator does it.
        timeout: Seconds that a step waits.
        quiet: Seconds without events under the old secret.
        report: Shows a line to the operator.
    """

    def __init__(
        self,
        file: SecretsFile,
        edges: Callable[[], Signatures],
        registrar: Registrar,
        configured: Configured,
        *,
        reload: str,
        timeout: float,
        quiet: float,
        report: Callable[[str], None],
    ) -> None:
        self._file = file
        self._edges = edges
        self._registrar = registrar
        self._configured = configured
        self._reload = reload
        self._timeout = timeout
        self._quiet = quiet
        self._report = report

    def facts(self) -> Facts:
        """Return the present state; blocks for some seconds.

        Raises:
            RotationError: An edge does not answer, or the integration is not registered.
        """
        found = self._registrar.find(self._configured)
        if found.content is None:
            raise RotationError("the integration is not registered: run `omctl register`")
        signing = None if found.secret is None else _id(found.secret)
        return Facts(tuple(map(_id, self._file.read())), signing, self._edges())

    def run(self) -> None:
        """Continue from the present state to the end; blocks for minutes.

        Raises:
            RotationError: A step failed; no event is refused, and running it again continues.
        """
        first = next_step(self.facts())
        for step in STEPS[STEPS.index(first) :]:
            self._report(step.value)
            match step:
                case RotationStep.ADD:
                    self._file.add()
                case RotationStep.SPREAD | RotationStep.SETTLE:
                    self._spread()
                case RotationStep.SWITCH:
                    self._registrar.set_secret(self._configured, self._file.read()[0])
                case RotationStep.WATCH:
                    self._watch()
                case RotationStep.DROP:
                    self._file.keep_newest()

    def _spread(self) -> None:
        """Reload, then wait until every process accepts exactly the secrets in the file."""
        ids = tuple(map(_id, self._file.read()))
        if not self._reload:
            self._report(f"Copy {self._file.path} to every edge and reload it (SIGHUP); waiting for this")
        elif subprocess.run(self._reload, shell=True, check=False).returncode:  # noqa: S602  the operator's own
            raise RotationError("the command of --reload failed")
        self._wait(lambda: Facts(ids, None, self._edges()).are_live(ids), "every edge to accept the secrets")

    def _watch(self) -> None:
        new, old = map(_id, self._file.read())
        watch = Watch(new, old, self._quiet, since=time.monotonic())
        self._wait(
            lambda: watch.is_over(self._edges(), time.monotonic()),
            "events under the new secret alone",
        )

    def _wait(self, is_done: Callable[[], bool], goal: str) -> None:
        deadline = time.monotonic() + self._timeout
        while not self._check(is_done):
            if time.monotonic() >= deadline:
                raise RotationError(
                    f"waited {self._timeout:.0f} s in vain for {goal}; no event is refused: run the command "
                    "again to continue"
                )
            time.sleep(POLL_SECONDS)

    @staticmethod
    def _check(is_done: Callable[[], bool]) -> bool:
        try:
            return is_done()
        except EdgeAwayError:
            return False


def _id(secret: str) -> str:
    return secret_id(secret.encode())
