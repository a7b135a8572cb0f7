"""Run the command of `make run` or `make demo`: python -m deploy.local COMMAND."""

import os
import sys
from pathlib import Path

import click

from deploy.local import running
from deploy.local.demonstration import demonstrate
from deploy.local.process import ServerStartError, exit_on_signals

VAR = Path(__file__).parents[2] / "var"


@click.group()
def local() -> None:
    """Run and demonstrate the service on this machine."""


@local.command()
def run() -> None:
    """Run the service in the foreground until Ctrl-C."""
    running.run(VAR)


@local.command()
@click.option("--keep", is_flag=True, help="Keep everything running afterwards, until Ctrl-C.")
def demo(*, keep: bool) -> None:
    """Run the service on fresh data, send it events, and check that none is lost or processed twice."""
    raise SystemExit(0 if demonstrate(VAR, keep=keep) else 1)


def keep_private(var: Path) -> None:
    """Let only the current user read *var*, because it contains bodies, tokens, secrets and logs."""
    os.umask(0o077)
    var.mkdir(exist_ok=True)
    var.chmod(0o700)


if __name__ == "__main__":
    exit_on_signals()
    keep_private(VAR)
    try:
        local()
    except ServerStartError as error:
        # Exit with the reason as the only output, without a traceback.
        sys.exit(str(error))
