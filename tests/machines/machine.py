"""A bare Debian 13 with systemd in a container: what an operator gets from a provider, and no more.

The image is made by debootstrap, so that no registry is asked. The machine shares the host's network:
its ports are the host's ports.
"""

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final, Self

IMAGE: Final = "open-messaging-machine:13"
PACKAGES: Final = "systemd,systemd-sysv,dbus,sudo,make,git,python3,ca-certificates,procps,iproute2"
PROJECT: Final = "/srv/project"
BOOT_SECONDS: Final = 120.0
# Propagation as on any machine, where systemd as the first process sees to it itself: credentials are mounts.
INIT: Final = "mount --make-rshared / && exec /sbin/init"


class MachineError(Exception):
    """A machine did not do what it was told; the text is what it said."""


class Machine:
    """A machine that is booted on entering and thrown away on leaving.

    Args:
        name: Its container's.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> Self:
        _prepare_engine()
        _make_image()
        self.throw_away()
        cgroup = "/sys/fs/cgroup"
        docker(
            *(
                "run",
                "--detach",
                "--name",
                self.name,
                "--hostname",
                self.name,
                "--privileged",
                "--cgroupns=host",
            ),
            *(
                "--network",
                "host",
                "--volume",
                f"{cgroup}:{cgroup}",
                "--tmpfs",
                "/run",
                "--env",
                "container=docker",
            ),
            *(IMAGE, "/bin/sh", "-c", INIT),
        )
        self._wait_booted()
        return self

    def __exit__(self, *_: object) -> None:
        self.throw_away()

    def throw_away(self) -> None:
        """Remove the machine with all that is on it."""
        subprocess.run(["docker", "rm", "--force", self.name], capture_output=True, check=False)

    def put_project(self, checkout: Path) -> None:
        """Copy the committed files of *checkout* to where commands run."""
        archive = subprocess.run(
            ["git", "-C", str(checkout), "archive", "HEAD"], capture_output=True, check=True
        ).stdout
        unpack = f"rm -rf {PROJECT} && mkdir -p {PROJECT} && tar -x -C {PROJECT}"
        subprocess.run(["docker", "exec", "-i", self.name, "sh", "-c", unpack], input=archive, check=True)

    def run(self, command: str, *, timeout: float = 600.0) -> str:
        """Run *command* in a shell, from the project; return what it printed.

        Raises:
            MachineError: It failed, or took longer than *timeout* seconds.
        """
        # Where the host's packages come through an authority of its own, so do the machine's.
        settings = ["--env", "PIP_CERT=/etc/ssl/certs/ca-certificates.crt", "--workdir", PROJECT]
        return docker("exec", *settings, self.name, "bash", "-lc", command, timeout=timeout)

    def reboot(self) -> None:
        """Shut the machine down in order, and boot it again."""
        docker("stop", "--signal", "RTMIN+3", "--time", "90", self.name, timeout=120.0)
        docker("start", self.name)
        self._wait_booted()

    def _wait_booted(self) -> None:
        deadline = time.monotonic() + BOOT_SECONDS
        while time.monotonic() < deadline:
            state = subprocess.run(
                ["docker", "exec", self.name, "systemctl", "is-system-running"],
                capture_output=True, text=True, check=False,
            ).stdout.strip()  # fmt: skip
            if state in {"running", "degraded"}:
                return
            time.sleep(0.5)
        raise MachineError(f"systemd did not come up in {self.name}")


def docker(*arguments: str, timeout: float = 120.0) -> str:
    """Run the container engine's command and return what it printed.

    Raises:
        MachineError: It failed, or took longer than *timeout* seconds.
    """
    try:
        done = subprocess.run(
            ["docker", *arguments], capture_output=True, text=True, check=False, timeout=timeout
        )
    except subprocess.TimeoutExpired:
        raise MachineError(f"docker {' '.join(arguments)} took longer than {timeout:.0f} s") from None
    if done.returncode:
        raise MachineError(f"docker {' '.join(arguments)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def _prepare_engine() -> None:
    """Install and start the container engine, where none answers."""
    if _answers():
        return
    if shutil.which("dockerd") is None:
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        install = ["apt-get", "install", "--yes", "-q", "--no-install-recommends", "docker.io", "docker-cli"]
        subprocess.run(install, env=quiet, check=True, stdout=subprocess.DEVNULL)
    subprocess.Popen(
        ["dockerd"], start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    for _ in range(60):
        if _answers():
            return
        time.sleep(0.5)
    raise MachineError("no container engine answers; as root: dockerd")


def _answers() -> bool:
    return (
        bool(shutil.which("docker"))
        and not subprocess.run(["docker", "info"], capture_output=True, check=False).returncode
    )


def _make_image() -> None:
    """Make the image once: about a minute."""
    if not subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True, check=False).returncode:
        return
    if shutil.which("debootstrap") is None:
        subprocess.run(
            ["apt-get", "install", "--yes", "-q", "debootstrap"], check=True, stdout=subprocess.DEVNULL
        )
    with tempfile.TemporaryDirectory() as root:
        bootstrap = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "trixie", root]
        subprocess.run(bootstrap, check=True, stdout=subprocess.DEVNULL)
        authorities = Path("/etc/ssl/certs/ca-certificates.crt")
        shutil.copy(authorities, Path(root) / authorities.relative_to("/"))
        with subprocess.Popen(["tar", "-C", root, "-c", "."], stdout=subprocess.PIPE) as tar:
            subprocess.run(
                ["docker", "import", "-", IMAGE], stdin=tar.stdout, check=True, stdout=subprocess.DEVNULL
            )
