"""Run a worker in the foreground: `python -m workers intake --name 1`."""

import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import click

from messaging.errors import EX_CONFIG, ConfigurationError, RetryLaterError
from messaging.log import logger
from messaging.process import configure_process_log
from messaging.settings import Settings, warn_of_unknown_settings
from workers import bootstrap
from workers.observe import ObserveSettings
from workers.reconcile import ReconcileSettings
from workers.retain import RetainSettings
from workers.settings import DeliverSettings, IntakeSettings, ScaleSettings, SettleSettings

_NAME: Final = click.Option(
    ["--name"], default=lambda: str(os.getpid()), help="Name of this worker in the broker and the log."
)
_DRY_RUN: Final = click.Option(["--dry-run"], is_flag=True, help="Only report what would be deleted.")
_PROCESSES: Final = click.Option(
    ["--processes"],
    is_flag=True,
    help="Scale only intake workers, as child processes instead of systemd units.",
)
_ROLES: Final[dict[str, tuple[type[Settings], Callable[..., None], list[click.Parameter]]]] = {
    "intake": (IntakeSettings, bootstrap.run_intake, [_NAME]),
    "settle": (SettleSettings, bootstrap.run_settle, [_NAME]),
    "deliver": (DeliverSettings, bootstrap.run_deliver, [_NAME]),
    "reconcile": (ReconcileSettings, bootstrap.run_reconcile, [_NAME]),
    "retain": (RetainSettings, bootstrap.run_retain, [_DRY_RUN]),
    "observe": (ObserveSettings, bootstrap.run_observe, []),
    "scale": (ScaleSettings, bootstrap.run_scale, [_PROCESSES]),
}
"""Each role's settings, function and options. The first line of a function's docstring is the help text."""


def _start(role: str, settings: type[Settings], run: Callable[..., None], **options: Any) -> None:
    """Run a role until it ends; exit with status 78 if its settings are invalid."""
    try:
        configure_process_log(f"{role} {options.get('name', '')}".rstrip())
        present = settings.from_environment()
        warn_of_unknown_settings()
        run(present, **options)
    except ConfigurationError as error:
        logger().error("configuration_refused", reason=str(error))
        sys.exit(EX_CONFIG)
    except RetryLaterError as error:
        logger().error("database_away", reason=str(error))
        sys.exit(1)


main: Final = click.Group(
    help="Run one role of the workers behind the broker.",
    commands=[
        click.Command(
            role,
            callback=partial(_start, role, settings, run),
            params=options,
            help=(run.__doc__ or "").partition("\n")[0],
        )
        for role, (settings, run, options) in _ROLES.items()
    ],
)

if __name__ == "__main__":
    main()
