"""Install a container engine, and make an image of a bare Debian 13 with debootstrap, without a registry."""

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final

IMAGE: Final = "open-messaging-machine:13"
PACKAGES: Final = "systemd,systemd-sysv,dbus,sudo,make,git,python3,ca-certificates,procps,iproute2"


class MachineError(Exception):
    """A command on a machine failed. The message contains the command's output."""


def docker(*arguments: str, text: str | None = None, timeout: float = 300.0) -> str:
    """Run `docker` with these arguments, and return its output.

    Raises:
        MachineError: The command failed, or took longer than *timeout* seconds.
    """
    try:
        done = subprocess.run(
            ["docker", *arguments], input=text, capture_output=True, text=True, check=False, timeout=timeout
        )
    except subprocess.TimeoutExpired:
        raise MachineError(f"docker {' '.join(arguments)} took longer than {timeout:.0f} s") from None
    if done.returncode:
        raise MachineError(f"docker {' '.join(arguments)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def prepare() -> None:
    """Install the container engine and make the image. The first time, this takes about two minutes."""
    _prepare_engine()
    _make_image()


def prepare_compose() -> None:
    """Install docker's compose plugin if it is missing."""
    if not succeeds("compose", "version"):
        _install("docker-compose")


def succeeds(*arguments: str) -> bool:
    """Run `docker` with these arguments, and return whether it exits with status 0."""
    return not subprocess.run(["docker", *arguments], capture_output=True, check=False).returncode


def _prepare_engine() -> None:
    """Install and start a container engine if none responds."""
    if _answers():
        return
    if shutil.which("dockerd") is None:
        _install("docker.io", "docker-cli")
    subprocess.Popen(
        ["dockerd"], start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    for _ in range(120):
        if _answers():
            return
        time.sleep(0.5)
    raise MachineError("no container engine answers; as root: dockerd")


def _install(*packages: str) -> None:
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "--yes", "-q", "--no-install-recommends", *packages]
    subprocess.run(install, env=quiet, check=True, stdout=subprocess.DEVNULL)


def _answers() -> bool:
    return bool(shutil.which("docker")) and succeeds("info")


def _make_image() -> None:
    if succeeds("image", "inspect", IMAGE):
        return
    if shutil.which("debootstrap") is None:
        _install("debootstrap")
    with tempfile.TemporaryDirectory() as root:
        bootstrap = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "trixie", root]
        subprocess.run(bootstrap, check=True, stdout=subprocess.DEVNULL)
        authorities = Path("/etc/ssl/certs/ca-certificates.crt")
        shutil.copy(authorities, Path(root) / authorities.relative_to("/"))
        with subprocess.Popen(["tar", "-C", root, "-c", "."], stdout=subprocess.PIPE) as tar:
            subprocess.run(
                ["docker", "import", "-", IMAGE], stdin=tar.stdout, check=True, stdout=subprocess.DEVNULL
            )
