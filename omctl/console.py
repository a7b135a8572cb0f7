"""Print results: tables for people, JSON for scripts, progress and errors on standard error."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON for a script instead of tables."
)
dry_run_option = click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")


def print_json(value: Any) -> None:
    """Print *value* as one indented JSON document."""
    click.echo(json.dumps(value, indent=2, default=str))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, title: str | None = None) -> None:
    """Print *rows* under *columns*; long cells are folded, never cut."""
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def progress_bar() -> Progress:
    """Return a progress bar on standard error, silent where that is no terminal."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
