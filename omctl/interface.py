"""Define the options that commands share, and print help, tables, JSON and a progress bar."""

from __future__ import annotations

import inspect
import json
import re
import sys
import textwrap
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.progress import Progress

Decorator = Callable[..., Any]

_BLOCK: Final = re.compile(r"\n\n(?=(?:Examples|Exit status):\n)")
_AGO: Final = re.compile(r"(\d{1,6})([smhd])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Command(click.Command):
    """A click command whose help shows the docstring's examples and exit statuses after the options."""

    def __init__(self, name: str | None, *, help: str | None, **options: Any) -> None:  # noqa: A002
        text, *blocks = _BLOCK.split(inspect.cleandoc(help or ""))
        # \b at the start of a paragraph makes click keep its line breaks.
        epilog = "\n\n".join(f"\b\n{block}" for block in blocks)
        super().__init__(name, help=text, epilog=epilog, **options)


class Group(Command, click.Group):
    """A command with subcommands."""

    command_class = Command


def parse_timestamp(text: str, now: datetime) -> datetime:
    """Parse *text*: a time in ISO 8601 (UTC if it has no time zone), or an age such as 2h before *now*."""
    if ago := _AGO.fullmatch(text):
        return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    time = datetime.fromisoformat(text)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _read_timestamp(text: str) -> datetime:
    try:
        return parse_timestamp(text, datetime.now(UTC))
    except ValueError:
        message = f"{text!r} is not a time such as 2026-05-15T14:00, 90m, 2h or 3d"
        raise click.BadParameter(message) from None


json_option = click.option(
    "--json", "as_json", is_flag=True, expose_value=False, help="Print JSON instead of tables.",
    callback=lambda context, _option, value: context.meta.update({"omctl.json": value}),
)  # fmt: skip
yes_option = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
reason_option = click.option(
    "--reason", default="", help="Why; recorded with your user name. Required unless --dry-run."
)
again_option = click.option(
    "--again", is_flag=True, help="Let events that already took effect take effect again."
)
rate_option = click.option(
    "--rate", type=click.FloatRange(0), default=100.0, show_default=True,
    help="Events per second; 0: no limit.",
)  # fmt: skip


def since_option(verb: str, *, required: bool = False) -> Decorator:
    """Return the option `--since TIME`. *verb*, such as "Received", states what happened at TIME or later."""
    text = f"{verb} at TIME or later: ISO 8601, or an age such as 2h."
    return click.option("--since", type=_read_timestamp, metavar="TIME", required=required, help=text)


def until_option(verb: str) -> Decorator:
    """Return the option `--until TIME`. *verb*, such as "Received", states what happened before TIME."""
    return click.option("--until", type=_read_timestamp, metavar="TIME", help=f"{verb} before TIME.")


def combine(*options: Decorator) -> Decorator:
    """Return a decorator that adds *options* to a command; the help lists them in this order."""
    return lambda command: reduce(lambda inner, option: option(inner), reversed(options), command)


change_options = combine(
    click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing."), json_option
)
"""The options of every command that changes something."""

recorded_options = combine(reason_option, change_options)
"""The options of every command whose change is recorded as an intervention."""

intervention_options = combine(reason_option, yes_option, change_options)
"""The options of every command that changes many events and asks for confirmation first."""

dead_letter_options = combine(
    click.option(
        "--code", "codes", multiple=True, help="With this code, such as handler_failed; repeatable."
    ),
    click.option("--type", "types", multiple=True, help="Event type (prefix optional); repeatable."),
    click.option("--conversation", "conversations", multiple=True, help="Of this conversation; repeatable."),
    since_option("Dead-lettered"),
    until_option("Dead-lettered"),
)
"""The options that select dead letters."""

_CONTROLS: Final = re.compile(
    # C0 except tab and newline; DEL; C1; directional marks, embeddings, overrides, isolates; surrogates.
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def is_json() -> bool:
    """Return whether the running command was given `--json`."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get("omctl.json"))


def format_json(document: dict[str, Any]) -> str:
    """Return *document* as indented JSON, with times in RFC 3339."""
    return json.dumps(document, indent=2, default=_encode)


def _encode(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def show_json(document: dict[str, Any]) -> bool:
    """Print *document* as JSON if the running command was given `--json`, and return whether it was."""
    if is_json():
        click.echo(format_json(document))
    return is_json()


def format_time(time: datetime | None) -> str:
    """Format a time for a table, to the second. An unknown time (None) becomes an empty string."""
    return "" if time is None else f"{time:%Y-%m-%d %H:%M:%S}"


def print_table(
    columns: Sequence[str], rows: Iterable[Iterable[Any]], *, title: str | None = None, empty: str = ""
) -> None:
    """Print *rows* under *columns*, or the sentence *empty* if there are no rows.

    A long cell is wrapped between words and never truncated, so a table can be wider than the screen.
    Markup and terminal controls in a cell have no effect, and None is shown as an empty cell.
    """
    from rich import box  # noqa: PLC0415  # takes longer to import than most commands take to run
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    cells = [[Text(visible(_format(value))) for value in row] for row in rows]
    if not cells and empty:
        click.echo(empty)
        return
    table = Table(
        title=title and Text(visible(title)), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD
    )
    widths = [
        max((len(word) for cell in [Text(name), *column] for word in cell.plain.split()), default=0)
        for name, *column in zip(columns, *cells, strict=True)
    ]
    for name, width in zip(columns, widths, strict=True):
        table.add_column(Text(name), min_width=width)
    for row in cells:
        table.add_row(*row)
    console = Console()
    # Each column needs three characters of padding in addition to its content.
    console.print(table, width=max(console.width, sum(widths) + 3 * len(widths)), crop=False)


def _format(value: Any) -> str:
    if value is None or isinstance(value, datetime):
        return format_time(value)
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def visible(text: str) -> str:
    """Escape all characters in *text* that control a terminal or reorder text."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def fold(text: str, first: str, others: str) -> str:
    """Wrap *text* between words into lines of 79 characters, with the given indents."""
    wrapper = textwrap.TextWrapper(79, first, others, break_long_words=False, break_on_hyphens=False)
    return wrapper.fill(text)


def print_body(body: bytes) -> None:
    """Print a body byte for byte, so that it can be piped. On a terminal, control characters are escaped."""
    output = sys.stdout.buffer
    if output.isatty():
        body = visible(body.decode(errors="backslashreplace")).encode(errors="backslashreplace")
    output.write(body + b"\n")
    output.flush()


def progress_bar() -> Progress:
    """Return a progress bar on standard error, which shows nothing unless standard error is a terminal."""
    from rich import progress  # noqa: PLC0415  # takes longer to import than most commands take to run
    from rich.console import Console  # noqa: PLC0415

    console = Console(stderr=True)
    return progress.Progress(
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[note]}", markup=False),
        progress.TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
