"""What `make run` and `make demo` call: python -m deploy.local COMMAND."""

import os
import sys
from pathlib import Path

import click

from deploy.local import running
from deploy.local.demonstration import demonstrate
from deploy.local.process import ServerStartError
from deploy.local.supervision import leave_in_order

VAR = Path(__file__).parents[2] / "var"


@click.group()
def local() -> None:
    """Run and show the service on this machine."""


@local.command()
def run() -> None:
    """Run the service in the foreground until Ctrl-C."""
    running.run(VAR)


@local.command()
def demo() -> None:
    """Run the service on fresh data, send it events, and settle the accounts."""
    raise SystemExit(0 if demonstrate(VAR) else 1)


def keep_private(var: Path) -> None:
    """Let only this user read what is in *var*: bodies, tokens, secrets and logs."""
    os.umask(0o077)
    var.mkdir(exist_ok=True)
    var.chmod(0o700)


def main() -> None:
    """Run the command; what keeps a server from starting is told without a traceback."""
    leave_in_order()
    keep_private(VAR)
    try:
        local()
    except ServerStartError as error:
        click.echo(str(error), err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
