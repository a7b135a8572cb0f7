"""Build stand-ins for the base images of docker/ from Debian's packages, in case no registry is reachable."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tests.machines.image import docker, prepare, succeeds

TARGETS: Final = {
    "python:3.13-slim": "python",
    "rabbitmq:4.0-management": "rabbitmq",
    "postgres:17": "postgres",
    "nginx:1.28": "nginx",
    "prom/prometheus:v3.5.0": "prometheus",
}
"""For each base image, the target in this directory's Dockerfile that replaces it."""

BUILD_SECONDS: Final = 900.0


def make_stand_ins(images: Iterable[str] = TARGETS) -> None:
    """Build a stand-in for each of *images* that the engine lacks. All of them take about two minutes."""
    prepare()
    for image in images:
        if not succeeds("image", "inspect", image):
            target, where = TARGETS[image], str(Path(__file__).parent)
            docker("build", "--quiet", "--target", target, "--tag", image, where, timeout=BUILD_SECONDS)
