"""Print results: tables for people, JSON for scripts, progress and errors on standard error."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Any, Final

import click
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON for a script instead of tables."
)
_CONTROLS: Final = re.compile(
    # C0 but for tab and newline, DEL, C1; marks, embeddings, overrides, isolates of direction; surrogates.
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)

dry_run_option = click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")


def print_json(value: Any) -> None:
    """Print *value* as one indented JSON document."""
    click.echo(json.dumps(value, indent=2, default=str))


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str | Text]], *, title: str | None = None
) -> None:
    """Print *rows* under *columns*; long cells are folded, never cut.

    A cell that is a `str` is data: it is printed as it is, never as markup or terminal control. Pass a `Text`
    for a cell with a style.
    """
    table = Table(
        title=title and Text(visible(title)), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD
    )
    for column in columns:
        table.add_column(Text(column), overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(visible(cell)) for cell in row))
    Console().print(table)


def visible(text: str) -> str:
    """Return *text* with each character that would control a terminal, or reorder text, as an escape."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def print_body(body: bytes) -> None:
    """Print a body byte for byte, for copying and piping; a terminal gets its controls as escapes."""
    output = sys.stdout.buffer
    if output.isatty():
        body = visible(body.decode(errors="backslashreplace")).encode(errors="backslashreplace")
    output.write(body + b"\n")
    output.flush()


def progress_bar() -> Progress:
    """Return a progress bar on standard error, silent where that is no terminal."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
