"""Define and run the steps of an installation. Each step can check whether it is already done."""

import os
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

from messaging.errors import OpenMessagingError

UNITS: Final = Path("/etc/systemd/system")


class InstallationError(OpenMessagingError):
    """A step failed; earlier steps stay done. Fix the problem described, and run the same command again."""


Command = str | Sequence[str]
"""A command line in shell syntax, which is split into words but not run by a shell; or a list of words."""


@dataclass(frozen=True, slots=True)
class Step:
    """One installation step. `title` is shown, so it must contain no secret. `is_done` changes nothing."""

    title: str
    is_done: Callable[[], bool]
    do: Callable[[], object]
    state_if_done: str = "up to date"


def always(title: str, do: Callable[[], object]) -> Step:
    """Return a step that is carried out in every run of the command."""
    return Step(title, lambda: False, do)


def kept(title: str) -> Step:
    """Return a step that only reports that an item is kept, although an operator might expect a change."""
    return Step(title, lambda: True, lambda: None, "kept")


def run_steps(steps: Iterable[Step], *, dry_run: bool) -> Iterator[tuple[str, str]]:
    """Carry out the steps in order, and yield the title and the state of each step when it is done.

    The states are "up to date", "kept", "done" and "would be done". A step is taken from *steps* only when
    the previous step is done, so it can depend on that step's result. An InstallationError ends the run.
    """
    for step in steps:
        if step.is_done():
            yield step.title, step.state_if_done
        elif dry_run:
            yield step.title, "would be done"
        else:
            step.do()
            yield step.title, "done"


def run(command: Command, *, text: str = "", environment: dict[str, str] | None = None) -> str:
    """Run *command* with *text* as its standard input, and return its standard output.

    An error message quotes *command*, which must therefore contain no secret. *text* is never shown.
    """
    words = shlex.split(command) if isinstance(command, str) else command
    try:
        done = subprocess.run(
            words, input=text, env=environment, capture_output=True, text=True, errors="replace", check=False
        )
    except FileNotFoundError:
        reason = "is not installed: this host does not run Debian with systemd"
        raise InstallationError(f"{words[0]} {reason}") from None
    if done.returncode:
        output = (done.stderr or done.stdout).strip()[-2000:]
        raise InstallationError(f"`{shlex.join(words)}` failed with status {done.returncode}: {output}")
    return done.stdout


def commands(*lines: str) -> Callable[[], object]:
    """Return a function that runs the commands *lines* in order."""
    return lambda: [run(line) for line in lines]


def make_certificate(certificate: Path, key: Path, *arguments: str) -> None:
    """Make a key and a certificate, which is self-signed unless the openssl *arguments* name an issuer."""
    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-keyout", str(key))
    run(["openssl", "req", "-x509", *new_key, "-out", str(certificate), *arguments])


def succeeds(command: Command) -> bool:
    """Run *command*; return whether it is installed and exits with status 0."""
    try:
        run(command)
    except InstallationError:
        return False
    return True


def package_step(package: str) -> Step:
    """Return the step that installs a Debian package."""
    return Step(f"install {package}", lambda: is_installed(package), lambda: _install(package))


def is_installed(package: str) -> bool:
    """Return whether a Debian package is installed and configured."""
    query = f"dpkg-query --show '--showformat=${{db:Status-Status}}' {package}"
    return succeeds(query) and run(query) == "installed"


def _install(package: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run("apt-get update --quiet", environment=environment)
    run(f"apt-get install --yes --quiet --no-install-recommends {package}", environment=environment)


def file_step(path: Path, text: Callable[[], str], *, mode: int = 0o644, changes_stay: bool = False) -> Step:
    """Return the step that writes a file if its text differs. *text* is not called before the step runs.

    If *changes_stay*, the step never changes an existing file, because an operator might have edited it.
    """
    is_done = path.exists if changes_stay else lambda: read(path) == text()
    return Step(f"write {path}", is_done, lambda: replace(path, text(), mode=mode))


def delete_step(path: Path) -> Step:
    """Return the step that deletes a file."""
    return Step(f"delete {path}", lambda: not path.exists(), path.unlink)


def restart_policy_step(unit: str) -> Step:
    """Return the step that makes systemd restart a Debian service, such as nginx.service, after a crash."""
    path = UNITS / f"{unit}.d" / "open-messaging.conf"
    return file_step(path, lambda: shipped("systemd/restart-on-failure.conf"))


def read(path: Path) -> str | None:
    """Return the text of the file at *path*, or None if there is no file."""
    return path.read_text(encoding="utf-8") if path.exists() else None


def replace(path: Path, text: str, *, mode: int | None = None) -> None:
    """Write a file atomically and durably; create missing directories.

    Without *mode*, the file must exist already; its mode and its owner are kept.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            if mode is None:
                before = path.stat()
                os.fchown(descriptor, before.st_uid, before.st_gid)
            os.fchmod(descriptor, before.st_mode & 0o777 if mode is None else mode)
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def shipped(name: str, **values: str) -> str:
    """Return the text of a host file in the wheel, such as `systemd/om-api.service`; replace each @NAME@."""
    text = files("omctl").joinpath("host-files", *name.split("/")).read_text(encoding="utf-8")
    for placeholder, value in values.items():
        text = text.replace(f"@{placeholder}@", value)
    return text
