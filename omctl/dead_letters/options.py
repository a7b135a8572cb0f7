"""Say on the command line which dead letters, and how to go about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from omctl.console import dry_run_option, json_option
from omctl.moments import MOMENT

if TYPE_CHECKING:
    from collections.abc import Callable


def choice_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that choose among dead letters."""
    for option in (
        click.option("--until", type=MOMENT, metavar="MOMENT", help="Died before MOMENT."),
        click.option(
            "--since",
            type=MOMENT,
            metavar="MOMENT",
            help="Died at MOMENT or later: ISO 8601, or 2h for two hours ago.",
        ),
        click.option("--conversation", "conversations", multiple=True, help="Of this conversation."),
        click.option("--type", "types", multiple=True, help="Of this event type, whole or its last word."),
        click.option("--code", "codes", multiple=True, help="With this code, such as handler_failed."),
    ):
        command = option(command)
    return command


def order_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of what changes something."""
    for option in (
        json_option,
        dry_run_option,
        click.option("--yes", is_flag=True, help="Do not ask."),
        click.option("--most", type=click.IntRange(1), help="Only the oldest so many."),
        click.option(
            "--reason", default="", help="Why: goes on record with your user name. Needed but for --dry-run."
        ),
    ):
        command = option(command)
    return command
