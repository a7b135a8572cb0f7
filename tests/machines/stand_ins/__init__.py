"""Stand-ins for the base images of docker/, made of Debian's packages, if no registry can be reached."""

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
"""The target of this directory's Dockerfile that stands in for an image."""

BUILD_SECONDS: Final = 900.0


def make_stand_ins() -> None:
    """Make the stand-ins for images that the engine lacks; this takes about two minutes once."""
    prepare()
    for image, target in TARGETS.items():
        if not succeeds("image", "inspect", image):
            where = str(Path(__file__).parent)
            docker("build", "--quiet", "--target", target, "--tag", image, where, timeout=BUILD_SECONDS)
