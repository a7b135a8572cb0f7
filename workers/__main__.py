"""Run a worker in the foreground: `python -m workers intake --name 1`."""

import os
import sys
from collections.abc import Callable
from typing import TypeVar

import click

from messaging.errors import EX_CONFIG, ConfigurationError, RetryLaterError
from messaging.log import logger
from messaging.process import configure_process_log
from messaging.settings import Settings, warn_of_unknown_settings
from workers.bootstrap import (
    run_deliver,
    run_intake,
    run_observe,
    run_reconcile,
    run_retain,
    run_scale,
    run_settle,
)
from workers.observe import ObserveSettings
from workers.reconcile import ReconcileSettings
from workers.retain import RetainSettings
from workers.settings import DeliverSettings, IntakeSettings, ScaleSettings, SettleSettings

RoleSettings = TypeVar("RoleSettings", bound=Settings)

name_option = click.option(
    "--name", default=lambda: str(os.getpid()), help="Name of this worker in the broker and the log."
)


@click.group()
def main() -> None:
    """Run one role of the workers behind the broker."""


@main.command()
@name_option
def intake(name: str) -> None:
    """Consume events from the broker, and give each its one effect in SQL."""
    _start(f"intake {name}", IntakeSettings, lambda settings: run_intake(settings, name=name))


@main.command()
@name_option
def settle(name: str) -> None:
    """Settle conversations whose window has closed, and write the outbox."""
    _start(f"settle {name}", SettleSettings, lambda settings: run_settle(settings, name=name))


@main.command()
@name_option
def deliver(name: str) -> None:
    """Deliver the outbox to the services behind that OM_DESTINATIONS names."""
    _start(f"deliver {name}", DeliverSettings, lambda settings: run_deliver(settings, name=name))


@main.command()
@name_option
def reconcile(name: str) -> None:
    """Compare with the platform's history every 15 minutes, and publish missing events."""
    _start(f"reconcile {name}", ReconcileSettings, lambda settings: run_reconcile(settings, name=name))


@main.command()
@name_option
@click.option("--dry-run", is_flag=True, help="Say what would go, and delete nothing.")
def retain(name: str, *, dry_run: bool) -> None:
    """Delete what has been kept long enough, once: for a timer, daily."""
    _start(f"retain {name}", RetainSettings, lambda settings: run_retain(settings, dry_run=dry_run))


@main.command()
def observe() -> None:
    """Serve metrics of queues, dead letters, windows and deliveries to Prometheus, at OM_METRICS_BIND."""
    _start("observe", ObserveSettings, run_observe)


@main.command()
@click.option(
    "--processes",
    is_flag=True,
    help="Only intake workers, as children of this process instead of units of systemd.",
)
def scale(*, processes: bool) -> None:
    """Start and stop the intake, settle and deliver workers of this host by their backlog."""
    _start("scale", ScaleSettings, lambda settings: run_scale(settings, as_processes=processes))


def _start(process: str, settings: type[RoleSettings], run: Callable[[RoleSettings], None]) -> None:
    """Run a role until it ends; exit with 78 if its settings are unusable."""
    try:
        configure_process_log(process)
        present = settings.from_environment()
        warn_of_unknown_settings()
        run(present)
    except ConfigurationError as error:
        logger().error("configuration_refused", reason=str(error))
        sys.exit(EX_CONFIG)
    except RetryLaterError as error:
        logger().error("database_away", reason=str(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
