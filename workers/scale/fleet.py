"""Start and stop the workers of this host: units of systemd, or plain processes where there is none."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Final, Protocol

from messaging.errors import RetryLaterError

COMMAND_SECONDS: Final = 30.0


class Fleet(Protocol):
    """The workers of one role on this host, each with a number from 1."""

    def running(self) -> set[int]:
        """Return the numbers of those that run.

        Raises:
            RetryLaterError: It cannot be told now.
        """
        ...

    def start(self, number: int) -> None:
        """Start a worker; does not wait until it works.

        Raises:
            RetryLaterError: It cannot be done now.
        """
        ...

    def stop(self, number: int) -> None:
        """Tell a worker to settle what it holds and to end; does not wait until it has.

        Raises:
            RetryLaterError: It cannot be done now.
        """
        ...


class Units:
    """The units `om-NAME@N`.

    Args:
        name: worker, settle or deliver.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def running(self) -> set[int]:
        """Return the numbers of the units that run or begin to."""
        listed = _systemctl(
            *(
                "list-units",
                "--plain",
                "--no-legend",
                "--state=active,activating,reloading",
                f"om-{self._name}@*.service",
            )
        )
        return {int(number) for number in re.findall(rf"om-{self._name}@(\d+)\.service", listed)}

    def start(self, number: int) -> None:
        """Start a unit."""
        _systemctl("start", "--no-block", f"om-{self._name}@{number}.service")

    def stop(self, number: int) -> None:
        """Stop a unit."""
        _systemctl("stop", "--no-block", f"om-{self._name}@{number}.service")


def _systemctl(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["systemctl", "--no-ask-password", *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_SECONDS,
        )
    except (FileNotFoundError, subprocess.TimeoutExpired) as error:
        raise RetryLaterError(f"systemctl: {type(error).__name__}") from error
    if done.returncode:
        raise RetryLaterError(f"systemctl {arguments[0]} failed: {done.stderr.strip()[-200:]}")
    return done.stdout


class Processes:
    """Intake workers as children of this process, for a developer's machine."""

    def __init__(self) -> None:
        self._children: dict[int, subprocess.Popen[bytes]] = {}

    def running(self) -> set[int]:
        """Return the numbers of the children that have not ended."""
        self._children = {number: child for number, child in self._children.items() if child.poll() is None}
        return set(self._children)

    def start(self, number: int) -> None:
        """Start a child with this process's environment."""
        command = [sys.executable, "-m", "workers", "intake", "--name", str(number)]
        self._children[number] = subprocess.Popen(command)

    def stop(self, number: int) -> None:
        """Tell a child to end."""
        self._children[number].terminate()

    def stop_all(self) -> None:
        """Tell all children to end, and wait until they have."""
        for child in self._children.values():
            child.terminate()
        for child in self._children.values():
            child.wait()
