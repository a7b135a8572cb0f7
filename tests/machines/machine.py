"""Run a bare Debian 13 with systemd in a container, like a machine that an operator rents.

The machines have their own network, so every port on them is free.
"""

import subprocess
import time
from pathlib import Path
from typing import Final, Self

from tests.machines.image import IMAGE, MachineError, docker, prepare, succeeds

CHECKOUT: Final = Path(__file__).parents[2]
PROJECT: Final = "/srv/project"
BOOT_SECONDS: Final = 180.0
# The time limit for a command. The longest command, an installation, takes two minutes on an idle machine.
INSTALL_SECONDS: Final = 3600.0
# If this host trusts a private certificate authority for its package index, the machines must trust it, too.
# Each machine gets a copy of TRUSTED at a different path, because installing a cluster rewrites TRUSTED.
TRUSTED: Final = "/etc/ssl/certs/ca-certificates.crt"
AUTHORITIES: Final = "/srv/authorities.pem"
# Mounts must propagate, because systemd mounts a unit's credentials. On a real machine, systemd makes mounts
# propagate. In a container, this command does.
INIT: Final = "mount --make-rshared / && exec /sbin/init"
# Caches that all machines of a network share, so that each file is downloaded only once.
DOWNLOADS: Final = {"debian": "/var/cache/apt/archives", "python": "/root/.cache/pip"}


class Network:
    """A network of machines that can resolve each other's names. It exists during a `with` block.

    Args:
        name: The network's name in the container engine.
        subnet: The first three numbers of the network's IPv4 addresses.
    """

    def __init__(self, name: str, subnet: str) -> None:
        self.name = name
        self.subnet = subnet

    def __enter__(self) -> Self:
        prepare()
        if not succeeds("network", "inspect", self.name):
            docker("network", "create", "--subnet", f"{self.subnet}.0/24", self.name)
        return self

    def __exit__(self, *_: object) -> None:
        succeeds("network", "rm", self.name)


class Machine:
    """A machine with a copy of the project. It is booted on entry to a `with` block and deleted on exit.

    Args:
        network: The network that the machine belongs to.
        name: The machine's host name, which the other machines can resolve.
        number: The last number of the machine's address, at least 11.
    """

    def __init__(self, network: Network, name: str, number: int) -> None:
        self.name = name
        self.address = f"{network.subnet}.{number}"
        self._container = f"{network.name}-{name}"
        self._network = network.name

    def __enter__(self) -> Self:
        self.throw_away()
        cgroup = "/sys/fs/cgroup"
        where = ["--name", self._container, "--hostname", self.name, "--network-alias", self.name]
        where += ["--network", self._network, "--ip", self.address]
        rights = ["--privileged", "--cgroupns=host", "--volume", f"{cgroup}:{cgroup}", "--tmpfs", "/run"]
        caches = [
            word
            for name, place in DOWNLOADS.items()
            for word in ("--volume", f"{self._network}-{name}:{place}")
        ]
        settings = ["--env", "container=docker"]
        docker("run", "--detach", *where, *rights, *caches, *settings, IMAGE, "/bin/sh", "-c", INIT)
        self._wait_booted()
        docker("cp", TRUSTED, f"{self._container}:{AUTHORITIES}")
        self.put_project()
        return self

    def __exit__(self, *_: object) -> None:
        self.throw_away()

    def throw_away(self) -> None:
        """Delete the machine with all its data."""
        succeeds("rm", "--force", self._container)

    def put_project(self, revision: str = "HEAD") -> None:
        """Copy the files of a revision of this checkout to the directory where commands run."""
        archive = subprocess.run(
            ["git", "-C", str(CHECKOUT), "archive", revision], capture_output=True, check=True
        ).stdout
        unpack = f"rm -rf {PROJECT} && mkdir -p {PROJECT} && tar -x -C {PROJECT}"
        subprocess.run(
            ["docker", "exec", "-i", self._container, "sh", "-c", unpack], input=archive, check=True
        )

    def run(self, command: str, *, text: str | None = None, timeout: float = INSTALL_SECONDS) -> str:
        """Run *command* in a shell in the project's directory, and return its output.

        Raises:
            MachineError: The command failed, or took longer than *timeout* seconds.
        """
        settings = ["--env", f"PIP_CERT={AUTHORITIES}", "--workdir", PROJECT]
        shell = ["exec", "-i", *settings, self._container, "bash", "-lc", command]
        return docker(*shell, text=text, timeout=timeout)

    def reboot(self) -> None:
        """Shut the machine down cleanly, and boot it again."""
        docker("stop", "--signal", "RTMIN+3", "--time", "90", self._container)
        self.power_on()

    def power_off(self) -> None:
        """Cut the machine's power, so that it stops without shutting down."""
        docker("kill", self._container)

    def power_on(self) -> None:
        """Boot a machine that is off. The data on its disk is kept."""
        docker("start", self._container)
        self._wait_booted()

    def _wait_booted(self) -> None:
        """Block until commands can be run. Services might still be starting at that time."""
        deadline = time.monotonic() + BOOT_SECONDS
        while time.monotonic() < deadline:
            if succeeds("exec", self._container, "systemctl", "is-active", "--quiet", "basic.target"):
                return
            time.sleep(0.5)
        raise MachineError(f"systemd did not come up in {self.name}")
