"""What `make run` and `make demo` call: python -m deploy.local COMMAND."""

import signal
import sys
from pathlib import Path

import click

from deploy.local import running
from deploy.local.demonstration import demonstrate
from deploy.local.process import ServerStartError

PROJECT = Path(__file__).parents[2]
VAR = PROJECT / "var"


@click.group()
def local() -> None:
    """Run and show the service on this machine."""


@local.command()
def run() -> None:
    """Run the service in the foreground until Ctrl-C."""
    if ended := running.run(VAR):
        raise ServerStartError(f"{ended}; everything else was stopped")


@local.command()
def demo() -> None:
    """Run the service on fresh data, send it events, and settle the accounts."""
    raise SystemExit(0 if demonstrate(VAR) else 1)


def main() -> None:
    """Run the command; what keeps a server from starting is told without a traceback."""
    # Anything but a clean way out would leave servers behind.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _: sys.exit(128 + received))
    try:
        local()
    except ServerStartError as error:
        click.echo(str(error), err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
