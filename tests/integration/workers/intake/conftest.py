"""Fixtures that start worker processes."""

import os
import subprocess
import sys

import pytest

from tests.services import declare_topology


@pytest.fixture
def environment(vhost, migrated_sqlite_url):
    declare_topology(vhost.amqp_url)
    return {**os.environ, "OM_AMQP_URL": vhost.amqp_url, "OM_DATABASE_URL": migrated_sqlite_url}


@pytest.fixture
def start(environment, tmp_path):
    """Return a function that starts a worker with the given environment variables and logs to a file."""
    started = []

    def run(role="intake", **changes):
        log = (tmp_path / f"worker-{len(started)}.log").open("w+")
        process = subprocess.Popen(
            [sys.executable, "-m", "workers", role, "--name", "test"],
            env=environment | changes,
            stdout=log,
            stderr=log,
        )
        started.append((process, log))
        return process

    yield run
    for process, log in started:
        if process.poll() is None:
            process.kill()
        process.wait()
        log.close()
