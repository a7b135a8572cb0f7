"""Start and stop this host's workers, as systemd units or as child processes.

A role's workers are numbered from 1. `start` and `stop` do not wait for a worker to start or end.
"""

import re
import subprocess
import sys
from typing import Final, TypeAlias

from messaging.errors import RetryLaterError

COMMAND_SECONDS: Final = 30.0


class Units:
    """Starts and stops systemd units om-NAME@NUMBER; its methods raise RetryLaterError if systemctl fails."""

    def __init__(self, name: str) -> None:
        self._name = name

    def running(self) -> set[int]:
        """Return the numbers of the units that are running or starting."""
        states, pattern = "--state=active,activating,reloading", f"om-{self._name}@*.service"
        listed = _systemctl("list-units", "--plain", "--no-legend", states, pattern)
        return {int(number) for number in re.findall(rf"om-{self._name}@(\d+)\.service", listed)}

    def start(self, number: int) -> None:
        """Start the unit with this number."""
        _systemctl("start", "--no-block", f"om-{self._name}@{number}.service")

    def stop(self, number: int) -> None:
        """Stop the unit with this number."""
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
    """Runs intake workers as child processes, for a developer's machine."""

    def __init__(self) -> None:
        self._children: dict[int, subprocess.Popen[bytes]] = {}

    def running(self) -> set[int]:
        """Return the numbers of the child processes that have not ended."""
        self._children = {number: child for number, child in self._children.items() if child.poll() is None}
        return set(self._children)

    def start(self, number: int) -> None:
        """Start an intake worker as a child process with this process's environment."""
        command = [sys.executable, "-m", "workers", "intake", "--name", str(number)]
        self._children[number] = subprocess.Popen(command)

    def stop(self, number: int) -> None:
        """Send SIGTERM to a child process."""
        self._children[number].terminate()

    def stop_all(self) -> None:
        """Send SIGTERM to all child processes, and wait for them to end."""
        for child in self._children.values():
            child.terminate()
        for child in self._children.values():
            child.wait()


Fleet: TypeAlias = Units | Processes
