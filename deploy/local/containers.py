"""What a container engine on this machine could do for us, found out without waiting for it."""

import shutil
import subprocess
import time
from pathlib import Path

import click

RABBITMQ_IMAGE = "rabbitmq:4.0-management"
POSTGRESQL_IMAGE = "postgres:17"

# An engine or a registry that takes longer is of no use to somebody who waits at a terminal.
ANSWER_SECONDS = 5.0
# How long "the image cannot be had" is believed before it is asked again.
REFUSAL_SECONDS = 3600.0
PULL_SECONDS = 600.0


def engine_answers() -> bool:
    """Tell whether a Docker engine answers this user."""
    return shutil.which("docker") is not None and _succeeds("docker", "version")


def has_compose() -> bool:
    """Tell whether the `docker compose` plugin is installed."""
    return _succeeds("docker", "compose", "version")


def can_have(image: str, *, memory: Path) -> bool:
    """Tell whether the image is here, after fetching it if its registry can be reached.

    Args:
        image: its name with a tag.
        memory: a directory that keeps a refusal, so that it costs its seconds only once an hour.
    """
    if _succeeds("docker", "image", "inspect", image):
        return True
    refusal = memory / f"no-image-{image.replace(':', '-')}"
    if _is_fresh(refusal):
        return False
    if _succeeds("docker", "manifest", "inspect", image) and _pull(image):
        return True
    refusal.parent.mkdir(parents=True, exist_ok=True)
    refusal.touch()
    return False


def _is_fresh(refusal: Path) -> bool:
    return refusal.exists() and time.time() - refusal.stat().st_mtime < REFUSAL_SECONDS


def _pull(image: str) -> bool:
    click.echo(f"Fetching the container image {image} (once)")
    return _succeeds("docker", "pull", "--quiet", image, timeout=PULL_SECONDS)


def _succeeds(*command: str, timeout: float = ANSWER_SECONDS) -> bool:
    try:
        done = subprocess.run(
            command,
            check=False,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
