"""Run a bare Debian 13 with systemd in a container: the machine that an operator gets from a provider.

Machines have a separate network, so that their ports are free.
"""

import subprocess
import time
from pathlib import Path
from typing import Final, Self

from tests.machines.image import IMAGE, MachineError, docker, prepare, succeeds

CHECKOUT: Final = Path(__file__).parents[2]
PROJECT: Final = "/srv/project"
BOOT_SECONDS: Final = 180.0
# Two minutes on a machine of one's own; the longest command there is.
INSTALL_SECONDS: Final = 3600.0
# Propagation as on any machine, where systemd as the first process sees to it itself: credentials are mounts.
INIT: Final = "mount --make-rshared / && exec /sbin/init"
# What the machines of a network download is downloaded once.
DOWNLOADS: Final = {"debian": "/var/cache/apt/archives", "python": "/root/.cache/pip"}


class Network:
    """A network of machines that know each other by name, for a `with` block.

    Args:
        name: The engine's name for it.
        subnet: The first three numbers of its addresses.
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
    """A machine that is booted on entry and deleted on exit; it has a copy of the project.

    Args:
        network: The network that it belongs to.
        name: Its host name, which the other machines can resolve.
        number: Makes its address: from 11.
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
        self.put_project()
        return self

    def __exit__(self, *_: object) -> None:
        self.throw_away()

    def throw_away(self) -> None:
        """Delete the machine with all its data."""
        succeeds("rm", "--force", self._container)

    def put_project(self, revision: str = "HEAD") -> None:
        """Copy the committed files of this checkout to the directory in which commands run."""
        archive = subprocess.run(
            ["git", "-C", str(CHECKOUT), "archive", revision], capture_output=True, check=True
        ).stdout
        unpack = f"rm -rf {PROJECT} && mkdir -p {PROJECT} && tar -x -C {PROJECT}"
        subprocess.run(
            ["docker", "exec", "-i", self._container, "sh", "-c", unpack], input=archive, check=True
        )

    def run(self, command: str, *, text: str | None = None, timeout: float = INSTALL_SECONDS) -> str:
        """Run *command* in a shell, from the project; return what it printed.

        Raises:
            MachineError: It failed, or took longer than *timeout* seconds.
        """
        # Where the host's packages come through an authority of its own, so do the machine's.
        settings = ["--env", "PIP_CERT=/etc/ssl/certs/ca-certificates.crt", "--workdir", PROJECT]
        shell = ["exec", "-i", *settings, self._container, "bash", "-lc", command]
        return docker(*shell, text=text, timeout=timeout)

    def reboot(self) -> None:
        """Shut the machine down cleanly, and boot it again."""
        docker("stop", "--signal", "RTMIN+3", "--time", "90", self._container)
        self.power_on()

    def power_off(self) -> None:
        """Cut the machine's power."""
        docker("kill", self._container)

    def power_on(self) -> None:
        """Boot a machine that is off, with the data on its disk."""
        docker("start", self._container)
        self._wait_booted()

    def _wait_booted(self) -> None:
        """Block until commands can be run; services may still be starting."""
        deadline = time.monotonic() + BOOT_SECONDS
        while time.monotonic() < deadline:
            if succeeds("exec", self._container, "systemctl", "is-active", "--quiet", "basic.target"):
                return
            time.sleep(0.5)
        raise MachineError(f"systemd did not come up in {self.name}")
