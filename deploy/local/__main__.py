"""What `make run`, `make demo` and `make test` call: python -m deploy.local COMMAND."""

import sys
from pathlib import Path

import click

from deploy.local.process import ServerStartError
from deploy.local.testing import run_tests

PROJECT = Path(__file__).parents[2]
VAR = PROJECT / "var"


@click.group()
def local() -> None:
    """Run, show and test the service on this machine."""


@local.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def test(arguments: tuple[str, ...]) -> None:
    """Run pytest with ARGUMENTS beside a RabbitMQ and a PostgreSQL of its own."""
    raise SystemExit(run_tests(arguments, var=VAR))


def main() -> None:
    """Run the command; what keeps a server from starting is told without a traceback."""
    try:
        local()
    except ServerStartError as error:
        click.echo(str(error), err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
