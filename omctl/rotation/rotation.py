"""Carry a rotation out, step by step; each may be the last of one run and the first of another."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from omctl.rotation.plan import STEPS, EdgeAwayError, Facts, RotationError, Step, next_step
from omctl.rotation.watch import Watch
from webhook_api.signature import secret_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from omctl.registration import Registrar, Wanted
    from omctl.rotation.edges import Edges
    from omctl.rotation.secrets_file import SecretsFile

PATIENCE_SECONDS: Final = 600.0
QUIET_SECONDS: Final = 120.0
"""The platform repeats a webhook for 85 s, and whether it signs a repetition anew is not documented."""

GLANCE_SECONDS: Final = 1.0
"""How often the edges are asked; they write their reports as often."""


@dataclass(frozen=True, slots=True)
class Times:
    """How long a step may take.

    Args:
        patience: Seconds that a step waits for what it wants to see.
        quiet: Seconds without traffic under the old secret.
    """

    patience: float = PATIENCE_SECONDS
    quiet: float = QUIET_SECONDS


class Rotation:
    """One rotation of the secret.

    Args:
        file: The secrets' file.
        edges: Those that read it, or a copy of it.
        registrar: The way to the platform.
        wanted: The integration.
        reload: The shell command that brings the file to the edges; empty where a person does.
        times: How long to wait.
        tell: Takes a line for the person.
    """

    def __init__(
        self,
        file: SecretsFile,
        edges: Edges,
        registrar: Registrar,
        wanted: Wanted,
        *,
        reload: str,
        times: Times,
        tell: Callable[[str], None],
    ) -> None:
        self._file = file
        self._edges = edges
        self._registrar = registrar
        self._wanted = wanted
        self._reload = reload
        self._times = times
        self._tell = tell

    def facts(self) -> Facts:
        """Find out where things stand; blocks for some seconds.

        Raises:
            RotationError: An edge does not answer, or the integration is not registered.
        """
        found = self._registrar.find(self._wanted)
        if found.content is None:
            raise RotationError("the integration is not registered: run `omctl register`")
        signing = found.secret
        return Facts(
            tuple(map(_id, self._file.read())),
            None if signing is None else _id(signing),
            self._edges.verified(),
        )

    def run(self) -> None:
        """Go on from where things stand to the end; blocks for minutes.

        Raises:
            RotationError: It could not; nothing is refused, and running it again goes on.
        """
        first = next_step(self.facts())
        for step in STEPS[STEPS.index(first) :]:
            self._tell(step.value)
            self._carry_out(step)

    def _carry_out(self, step: Step) -> None:
        match step:
            case Step.ADD:
                self._file.add()
            case Step.SPREAD | Step.SETTLE:
                self._spread()
            case Step.SWITCH:
                self._registrar.sign_with(self._wanted, self._file.read()[0])
            case Step.WATCH:
                self._watch()
            case Step.DROP:
                self._file.keep_newest()

    def _spread(self) -> None:
        """Reload, then wait until every process takes what is in the file, and nothing else."""
        ids = tuple(map(_id, self._file.read()))
        if self._reload:
            if subprocess.run(self._reload, shell=True, check=False).returncode:  # noqa: S602  the operator's own
                raise RotationError("the command of --reload failed")
        else:
            self._tell(f"Bring {self._file.path} to every edge and reload each (SIGHUP); waiting for it")
        self._wait(lambda: Facts(ids, None, self._edges.verified()).are_live(ids), "every edge to take it")

    def _watch(self) -> None:
        """Wait for traffic under the new secret, and for quiet under the old one."""
        new, old = map(_id, self._file.read())
        watch = Watch(new, old, self._times.quiet, since=time.monotonic())
        self._wait(
            lambda: watch.is_over(self._edges.verified(), time.monotonic()),
            "traffic under the new secret alone",
        )

    def _wait(self, is_so: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + self._times.patience
        while not self._is_seen(is_so):
            if time.monotonic() >= deadline:
                raise RotationError(
                    f"waited in vain for {what}; nothing is refused: run it again, it goes on"
                )
            time.sleep(GLANCE_SECONDS)

    @staticmethod
    def _is_seen(is_so: Callable[[], bool]) -> bool:
        try:
            return is_so()
        except EdgeAwayError:
            return False


def _id(secret: str) -> str:
    return secret_id(secret.encode())
