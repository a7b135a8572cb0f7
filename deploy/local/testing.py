"""Run pytest beside servers that all of its processes share."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from deploy.local.disposable import servers


def run_tests(arguments: Sequence[str], *, var: Path) -> int:
    """Start the servers, run pytest with the arguments and return its exit status."""
    with (
        tempfile.TemporaryDirectory(prefix="open-messaging-tests-") as directory,
        servers(Path(directory), memory=var) as started,
    ):
        click.echo(f"Testing against {started.description}")
        return _run_pytest(arguments, {**os.environ, **started.environment()})


def _run_pytest(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run pytest, and let it end its own fixtures when this process is told to stop."""
    pytest = subprocess.Popen([sys.executable, "-m", "pytest", *arguments], env=dict(environment))
    # Ctrl-C reaches pytest by itself, since it belongs to the terminal's foreground group too.
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: pytest.send_signal(signal.SIGINT))
    return pytest.wait()
