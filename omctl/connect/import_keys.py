"""omctl import-keys: import the keys of events that the guide's own code has already processed."""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Final, TextIO

import click

from omctl.connections import open_database
from omctl.interface import Command, change_options, show_json
from workers.db.engine import DatabaseClock, transact
from workers.db.ingest import import_keys as record_keys
from workers.parsing import microseconds_of, parse_timestamp

MAX_REPORTED: Final = 10
"""The maximum number of malformed lines to print: in a file of the wrong format, every line is malformed."""
BATCH_KEYS: Final = 1_000

# A key is conversationId:timestamp. Both can contain colons, so the timestamp is recognised by its format.
_KEY: Final = re.compile(r"\A([^\0\ufffd]+):(\d{4}-\d\d-\d\d[Tt ].+)\Z")


@click.command(cls=Command)
@click.argument("file", type=click.File(errors="replace"))
@change_options
def import_keys(*, file: TextIO, dry_run: bool) -> None:
    """Import the keys of the guide's own code from FILE ("-": standard input).

    Each line is one key, conversationId:timestamp. An event with an imported key is recorded as skipped
    (reason imported) and has no effect, whether it arrives by webhook or by reconciliation. Keys are kept for
    OM_RETENTION_DAYS. A reimport adds only new keys. Malformed lines are reported, with exit status 1.

    Examples:
      redis-cli --scan --pattern '*:20*' | omctl import-keys - --dry-run
      redis-cli --scan --pattern '*:20*' | omctl import-keys -
    """
    refused: list[int] = []
    keys = _read_keys(file, refused)
    imported = read = 0
    if dry_run:
        read = sum(1 for _ in keys)
    else:
        with open_database() as engine:
            clock = DatabaseClock(engine)
            while batch := list(islice(keys, BATCH_KEYS)):
                read += len(batch)
                imported += transact(engine, record_keys, batch, clock.now_us())
    if not show_json({"keys": read, "imported": imported, "refused_lines": refused, "done": not dry_run}):
        for line in refused[:MAX_REPORTED]:
            click.echo(f"line {line} is not conversationId:timestamp", err=True)
        click.echo(f"{read} keys, {imported} imported, {len(refused)} lines refused")
    if refused:
        raise SystemExit(1)


def _read_keys(file: TextIO, refused: list[int]) -> Iterator[tuple[str, int]]:
    """Yield each key as a conversation id and a time in µs; add malformed lines' numbers to *refused*."""
    for number, line in enumerate(file, 1):
        if not (text := line.strip().strip('"')):
            continue
        try:
            [(conversation, time)] = _KEY.findall(text)
            at_us = microseconds_of(parse_timestamp(time))
        except ValueError:
            refused.append(number)
        else:
            yield conversation, at_us
