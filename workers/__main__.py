"""Run a worker in the foreground: `python -m workers intake --name 1`."""

from __future__ import annotations

import os
import sys

import click

from messaging.errors import EX_CONFIG, ConfigurationError
from messaging.log import configure_logging, logger
from messaging.setting_names import warn_of_unknown_settings
from workers.bootstrap import run_intake
from workers.settings import read_intake_settings


@click.group()
def main() -> None:
    """Everything behind the broker, one role per process."""


@main.command()
@click.option("--name", default=lambda: str(os.getpid()), help="What broker and log show for this worker.")
def intake(name: str) -> None:
    """Take events off the broker and give each its one effect in SQL."""
    try:
        settings = read_intake_settings()
        configure_logging(settings.log_level, process=f"intake {name}", form=settings.log_form)
        warn_of_unknown_settings()
        run_intake(settings, name=name)
    except ConfigurationError as error:
        logger().error("configuration_refused", reason=str(error))
        sys.exit(EX_CONFIG)


if __name__ == "__main__":
    main()
