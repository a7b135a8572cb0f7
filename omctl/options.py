"""Options that several commands share."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import Any, Final

import click

Decorator = Callable[..., Any]

_AGO: Final = re.compile(r"(\d{1,6})([smhd])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def parse_timestamp(text: str, now: datetime) -> datetime:
    """Return the time that *text* names: ISO 8601, in UTC without a time zone, or an age such as 2h.

    Raises:
        ValueError: It is neither.
    """
    if ago := _AGO.fullmatch(text):
        return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    time = datetime.fromisoformat(text)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


class _Timestamp(click.ParamType[datetime]):
    name = "timestamp"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        try:
            return parse_timestamp(str(value), datetime.now(UTC))
        except ValueError:
            self.fail(f"{value!r} is not a time such as 2026-05-15T14:00, 90m, 2h or 3d", param, ctx)


_TIMESTAMP: Final = _Timestamp()

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
reason_option = click.option(
    "--reason", default="", help="Why; recorded with your user name. Required unless --dry-run."
)
again_option = click.option(
    "--again", is_flag=True, help="Let events that already took effect take effect again."
)
rate_option = click.option(
    "--rate",
    type=click.FloatRange(0),
    default=100.0,
    show_default=True,
    help="Events per second; 0: no limit.",
)


def since_option(verb: str, *, required: bool = False) -> Decorator:
    """Return the option `--since` for items that *verb* (such as "Received") at that time or later."""
    text = f"{verb} at TIME or later: ISO 8601, or an age such as 2h."
    return click.option("--since", type=_TIMESTAMP, metavar="TIME", required=required, help=text)


def until_option(verb: str) -> Decorator:
    """Return the option `--until` for items that *verb* before that time."""
    return click.option("--until", type=_TIMESTAMP, metavar="TIME", help=f"{verb} before TIME.")


def combine(*options: Decorator) -> Decorator:
    """Return a decorator that adds several options in the order of the help text."""
    return lambda command: reduce(lambda inner, option: option(inner), reversed(options), command)


change_options = combine(dry_run_option, json_option)
"""For every command that changes something."""

recorded_options = combine(reason_option, change_options)
"""For every command whose change is recorded as an intervention."""

intervention_options = combine(reason_option, yes_option, change_options)
"""For a command that changes many events and asks first."""

dead_letter_options = combine(
    click.option(
        "--code", "codes", multiple=True, help="With this code, such as handler_failed; repeatable."
    ),
    click.option("--type", "types", multiple=True, help="Event type, whole or its last part; repeatable."),
    click.option("--conversation", "conversations", multiple=True, help="Of this conversation; repeatable."),
    since_option("Dead-lettered"),
    until_option("Dead-lettered"),
)
"""Select dead letters."""
