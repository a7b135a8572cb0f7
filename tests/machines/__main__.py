"""Test the installed service on machines: `python -m tests.machines` lists the suites."""

import sys

import click

from tests.machines import containers, integration, one_machine, pages, three_machines, upgrade
from tests.machines.image import MachineError
from tests.machines.progress import give_up


@click.group()
def machines() -> None:
    """Boot machines in containers, install the service there as operators do, and strike it."""


@machines.command()
def systemd() -> None:
    """One VM: each unit killed, workers added and taken away, a reboot and an upgrade under traffic."""
    sys.exit(0 if one_machine.run() else 1)


@machines.command()
def three() -> None:
    """Three VMs with one broker cluster: one is lost under load, and returns."""
    sys.exit(0 if three_machines.run() else 1)


@machines.command(name="upgrade")
def upgrade_() -> None:
    """One VM, then three in turn: from the previous version to this one and back under traffic."""
    sys.exit(0 if upgrade.run() else 1)


@machines.command(name="pages")
@click.argument("selected", metavar="[PAGE]...", nargs=-1)
def pages_(selected: tuple[str, ...]) -> None:
    """Bare machines: the shell blocks of README and docs, with the output that the pages show.

    With PAGEs such as `tuning`, run only their blocks, after those of install.md, and record no result.
    """
    sys.exit(0 if pages.run(frozenset(selected)) else 1)


@machines.command(name="containers")
def containers_() -> None:
    """Integration tests on a RabbitMQ and a PostgreSQL in containers."""
    sys.exit(0 if integration.run() else 1)


@machines.command()
def compose() -> None:
    """Containers: docker/compose.yaml brought up, an event sent through it, and taken down."""
    sys.exit(0 if containers.run() else 1)


if __name__ == "__main__":
    try:
        machines()
    except MachineError as error:
        give_up(error, *sys.argv[1:])
