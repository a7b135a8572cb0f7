"""Describe the commit, the machine and the versions that figures were measured with."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psycopg
import requests

from tests.figures.checkout import Checkout

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = ("flask", "gunicorn", "httptools", "marshmallow", "pika", "psycopg", "sqlalchemy")
TIMEOUT_SECONDS: Final = 10


def certificate(*, seed: str, servers: Mapping[str, str], root: Path = ROOT) -> dict[str, Any]:
    """Return the commit, the machine and the versions as JSON values. Call this at the start of a run.

    Args:
        seed: The seed of the run's random choices.
        servers: The servers' versions by name, as `broker_versions` and `postgresql_version` return them.
        root: The directory of the checkout.
    """
    checkout = Checkout(root)
    return {
        "commit": checkout.head(),
        "dirty": checkout.is_dirty(),
        "seed": seed,
        "date": datetime.now(UTC).date().isoformat(),
        "machine": _machine(),
        "versions": {
            "Python": platform.python_version(),
            **servers,
            **{name: version(name) for name in PACKAGES},
        },
    }


def broker_versions(management_url: str) -> dict[str, str]:
    """Query a broker for its version and Erlang's. The URL must contain the user and the password."""
    overview = requests.get(f"{management_url}/api/overview", timeout=TIMEOUT_SECONDS)
    overview.raise_for_status()
    report = overview.json()
    return {"RabbitMQ": report["rabbitmq_version"], "Erlang": report["erlang_version"]}


def postgresql_version(url: str) -> dict[str, str]:
    """Query a PostgreSQL server for its version."""
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        row = connection.execute(b"SHOW server_version").fetchone()
    assert row is not None
    return {"PostgreSQL": row[0].split()[0]}


def _machine() -> dict[str, Any]:
    """Return a description of the machine, without its name."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "kernel": platform.release(),
    }


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()
