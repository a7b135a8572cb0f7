"""Run docker/compose.yaml as an operator would, but with separate ports and secrets."""

import os
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final, Self

from tests.machines.image import MachineError
from tests.machines.machine import CHECKOUT
from tests.servers import free_port

PORTS: Final = ("OM_GATEWAY_PORT", "OM_PROMETHEUS_PORT", "OM_OBSERVE_PORT")
UP_SECONDS: Final = 900.0
"""The time limit for the start, in seconds. Downloads and the image's build take most of that time."""


class Composition:
    """Runs the services of docker/compose.yaml from a copy of the committed files, during a `with` block."""

    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="open-messaging-compose-"))
        self.ports = {name: free_port() for name in PORTS}
        self._project = f"open-messaging-{secrets.token_hex(4)}"

    def __enter__(self) -> Self:
        archive = subprocess.run(
            ["git", "-C", str(CHECKOUT), "archive", "HEAD"], capture_output=True, check=True
        ).stdout
        subprocess.run(["tar", "-x", "-C", str(self._directory)], input=archive, check=True)
        return self

    def __exit__(self, *_: object) -> None:
        self.run("--profile", "*", "down", "--volumes", "--timeout", "60")
        shutil.rmtree(self._directory)

    def up(self) -> None:
        """Start all services with the commands in docs/install.md."""
        subprocess.run([self._directory / "docker" / "prepare", "localhost"], check=True)
        self.run("up", "--build", "--detach", timeout=UP_SECONDS)

    def secret(self, name: str) -> Path:
        """Return the path of the file that contains the secret *name*."""
        return self._directory / "docker" / "secrets" / name

    def run(self, *arguments: str, timeout: float = 180.0) -> str:
        """Run `docker compose` with these arguments, and return its output.

        Raises:
            MachineError: The command failed, or took longer than *timeout* seconds.
        """
        file = str(self._directory / "docker" / "compose.yaml")
        command = ["docker", "compose", "--project-name", self._project, "--file", file, *arguments]
        ports = {name: str(port) for name, port in self.ports.items()}
        try:
            done = subprocess.run(
                command,
                env={**os.environ, **ports},
                capture_output=True,
                text=True,
                check=False,
                timeout=timeout,
            )
        except subprocess.TimeoutExpired:
            raise MachineError(f"{' '.join(command)} took longer than {timeout:.0f} s") from None
        if done.returncode:
            raise MachineError(f"{' '.join(command)}: {done.stdout[-2000:]}{done.stderr[-4000:]}")
        return done.stdout
