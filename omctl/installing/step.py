"""One thing that an installation sees to: whether it is done already, and how to do it."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from messaging.errors import OpenMessagingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence


class InstallationError(OpenMessagingError):
    """A step failed; what went before it stays. Mend what the text names and run the same command again."""


@dataclass(frozen=True, slots=True)
class Step:
    """A part of the installation.

    Args:
        title: What a person reads, without secrets.
        is_done: Tells whether there is nothing to do; changes nothing.
        do: Does it.
        standing: What is told where there is nothing to do.
    """

    title: str
    is_done: Callable[[], bool]
    do: Callable[[], object]
    standing: str = "as it should be"


def kept(what: str) -> Step:
    """Return the step that only tells what stays, although a person might expect otherwise."""
    return Step(what, lambda: True, lambda: None, "kept")


def carry_out(steps: Iterable[Step], *, dry_run: bool) -> Iterator[tuple[str, str]]:
    """Go through *steps* in their order; each is told after it is done.

    Args:
        steps: Looked at one by one, so that one may depend on what an earlier one did.
        dry_run: Do nothing.

    Returns:
        Title and state: "as it should be", "kept", "done", "would be done".

    Raises:
        InstallationError: A step failed; the later ones were not begun.
    """
    for step in steps:
        if step.is_done():
            yield step.title, step.standing
        elif dry_run:
            yield step.title, "would be done"
        else:
            step.do()
            yield step.title, "done"


def run(command: Sequence[str], *, text: str = "", environment: dict[str, str] | None = None) -> str:
    """Run *command* to its end and return what it printed.

    Args:
        command: Program and arguments; shown when it fails, so no secrets.
        text: Its standard input; may hold secrets.
        environment: Instead of this process's.

    Raises:
        InstallationError: It failed or does not exist.
    """
    try:
        done = subprocess.run(
            command, input=text, env=environment, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise InstallationError(f"{command[0]} is not there: this host is no Debian with systemd") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-2000:]
        raise InstallationError(f"`{' '.join(command)}` failed with status {done.returncode}: {said}")
    return done.stdout


def succeeds(command: Sequence[str]) -> bool:
    """Tell whether *command* exists and ends with status 0."""
    try:
        return not subprocess.run(command, capture_output=True, check=False).returncode
    except FileNotFoundError:
        return False


def package_step(package: str) -> Step:
    """Return the step that installs *package* of Debian."""
    return Step(f"install {package}", lambda: is_installed(package), lambda: _install(package))


def is_installed(package: str) -> bool:
    """Return whether *package* is installed and configured."""
    query = ["dpkg-query", "--show", "--showformat=${db:Status-Status}", package]
    return succeeds(query) and run(query) == "installed"


def _install(package: str) -> None:
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "update", "--quiet"], environment=quiet)
    run(["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", package], environment=quiet)
