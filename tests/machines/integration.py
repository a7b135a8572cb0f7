"""Run integration tests on a RabbitMQ and a PostgreSQL that testcontainers starts in containers."""

import os
import subprocess
import sys
from tempfile import NamedTemporaryFile
from typing import Final
from xml.etree import ElementTree as ET

from tests.machines.image import MachineError
from tests.machines.progress import conclude, report
from tests.machines.stand_ins import make_stand_ins
from tests.servers.disposable import IN_CONTAINERS, POSTGRESQL_IMAGE, RABBITMQ_IMAGE, servers

TESTS: Final = (
    "tests/integration/messaging/test_confirms.py",
    "tests/integration/messaging/test_consumer.py",
    "tests/integration/messaging/test_peek.py",
    "tests/integration/workers/db",
    "tests/integration/workers/intake/test_duplicates.py",
    "tests/integration/workers/intake/test_intake.py",
    "tests/integration/workers/operating/test_replay.py",
)
"""Tests that use the servers through all of the service's clients."""


def run() -> bool:
    """Run the tests, print and record the result, and return whether all of them ran and passed.

    Raises:
        MachineError: The servers that started do not run in containers.
    """
    make_stand_ins([RABBITMQ_IMAGE, POSTGRESQL_IMAGE])
    with servers() as started, NamedTemporaryFile(suffix=".xml") as results:
        if started.description != IN_CONTAINERS:
            raise MachineError(f"the tests would use {started.description}")
        report(f"testing against {started.description}")
        # In CI, a test fails instead of being skipped if its server is missing.
        environment = {**os.environ, **started.environment(), "CI": "true"}
        pytest = [sys.executable, "-m", "pytest", "-q", "-n", "2", f"--junitxml={results.name}", *TESTS]
        is_successful = subprocess.run(pytest, env=environment, check=False).returncode == 0
        [suite] = ET.parse(results.name).getroot()  # noqa: S314  # our own pytest wrote this file
    numbers = {name: int(suite.attrib[name]) for name in ("tests", "failures", "errors", "skipped")}
    return conclude("containers", numbers, passed=is_successful and not numbers["skipped"])
