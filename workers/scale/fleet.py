"""Start and stop the workers of this host: units of systemd, or plain processes if there is none.

Each worker of a role has a number from 1. Nothing here waits until a worker has started or ended.
"""

import re
import subprocess
import sys
from typing import Final, TypeAlias

from messaging.errors import RetryLaterError

COMMAND_SECONDS: Final = 30.0


class Units:
    """The systemd units `om-NAME@N`; NAME is worker, settle or deliver.

    Each method raises RetryLaterError if systemctl fails now.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def running(self) -> set[int]:
        """Return the numbers of the units that are running or starting."""
        states, pattern = "--state=active,activating,reloading", f"om-{self._name}@*.service"
        listed = _systemctl("list-units", "--plain", "--no-legend", states, pattern)
        return {int(number) for number in re.findall(rf"om-{self._name}@(\d+)\.service", listed)}

    def start(self, number: int) -> None:
        """Start a unit."""
        _systemctl("start", "--no-block", f"om-{self._name}@{number}.service")

    def stop(self, number: int) -> None:
        """Stop a unit."""
        _systemctl("stop", "--no-block", f"om-{self._name}@{number}.service")


def _systemctl(*arguments: str) -> str:
    command = ["systemctl", "--no-ask-password", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=COMMAND_SECONDS)
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
        """Terminate a child."""
        self._children[number].terminate()

    def stop_all(self) -> None:
        """Terminate all children, and wait until they have ended."""
        for child in self._children.values():
            child.terminate()
        for child in self._children.values():
            child.wait()


Fleet: TypeAlias = Units | Processes
