"""Print results: tables for people, JSON for scripts, progress and errors on standard error."""

from __future__ import annotations

import json
import re
import sys
import textwrap
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.progress import Progress

_CONTROLS: Final = re.compile(
    # C0 except tab and newline, DEL, C1; marks, embeddings, overrides, isolates of direction; surrogates.
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_WHOLE_WORDS: Final[Any] = {"break_long_words": False, "break_on_hyphens": False}
_PADDING: Final = 3
"""Characters that a table needs for each column beside its content."""


def format_json(document: dict[str, Any]) -> str:
    """Return one indented JSON object, with RFC 3339 times and null for unknown."""
    return json.dumps(document, indent=2, default=_encode)


def print_json(document: dict[str, Any]) -> None:
    """Print one JSON object."""
    click.echo(format_json(document))


def _encode(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def format_time(time: datetime | None) -> str:
    """Return a time for a table, to the second; empty if it is unknown."""
    return "" if time is None else f"{time:%Y-%m-%d %H:%M:%S}"


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, title: str | None = None, empty: str = ""
) -> None:
    """Print *rows* under *columns*, or the sentence *empty* if there are no rows.

    Long cells are folded between words and never cut: a table with long ids is wider than the screen instead.
    A cell is data: it is printed as it is, never as markup or terminal control.
    """
    from rich import box  # noqa: PLC0415  # takes longer to import than most commands take to run
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    cells = [[Text(visible(cell)) for cell in row] for row in rows]
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
    console.print(table, width=max(console.width, sum(widths) + _PADDING * len(widths)), crop=False)


def visible(text: str) -> str:
    """Return *text* with each character that would control a terminal, or reorder text, as an escape."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def fold(text: str, first: str, others: str) -> str:
    """Return *text* in lines of 79 characters, folded between words only; with the indents given."""
    return textwrap.fill(text, 79, initial_indent=first, subsequent_indent=others, **_WHOLE_WORDS)


def print_body(body: bytes) -> None:
    """Print a body byte for byte, for copying and piping; on a terminal, controls are escaped."""
    output = sys.stdout.buffer
    if output.isatty():
        body = visible(body.decode(errors="backslashreplace")).encode(errors="backslashreplace")
    output.write(body + b"\n")
    output.flush()


def progress_bar() -> Progress:
    """Return a progress bar on standard error, silent unless that is a terminal."""
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
