"""omctl migrate: bring the tables to a revision."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from messaging.environment import Environment
from migrations import schema
from migrations.reading import grant_reading
from omctl.console import dry_run_option, json_option, print_json, print_table
from omctl.database import database_url, in_words
from omctl.revisions import BASE, HEAD, UnknownRevisionError, is_newer, steps_between

if TYPE_CHECKING:
    from omctl.revisions import Step

EXAMPLES = """\b
Examples:
  omctl migrate --dry-run
  omctl migrate
  omctl migrate --down base --yes
  omctl migrate --read-only-role open_messaging_reader
"""


@click.command(epilog=EXAMPLES)
@click.option("--down", metavar="REVISION", help="Go down to REVISION; `base` deletes every table.")
@click.option(
    "--read-only-role",
    "reader",
    metavar="NAME",
    help="Then let the role NAME read all but bodies and texts; the role is created if it is missing.",
)
@click.option("--yes", is_flag=True, help="With --down: do not ask.")
@dry_run_option
@json_option
def migrate(down: str | None, reader: str | None, *, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Bring the tables of OM_DATABASE_URL to the newest revision.

    Each revision is one transaction. Tables that a later version has brought to a newer revision stay as they
    are. Going down deletes what newer revisions stored, and asks first.
    """
    url = database_url(Environment())
    with in_words():
        current = schema.current_revision(url)
        steps = _steps(current, down)
        if steps and not dry_run:
            _go(url, down, yes=yes)
        readable = grant_reading(url, reader) if reader and not dry_run else []
    _report(current, steps, direction="down" if down else "up", is_done=not dry_run, as_json=as_json)
    if reader and not as_json:
        rights = f"reads {', '.join(readable)}" if readable else "would read all but bodies and texts"
        click.echo(f"The role {reader} {rights}.")


def _steps(current: str | None, down: str | None) -> list[Step]:
    """Return the revisions to apply or revert, in their order; none if a later version applied newer ones.

    Raises:
        UnknownRevisionError: This version does not have the revisions that lie between.
    """
    if not is_newer(current):
        return steps_between(current or BASE, down) if down else steps_between(HEAD, current)[::-1]
    if down:
        raise UnknownRevisionError(
            f"the tables are at {current}, newer than this version: use the omctl of that version"
        )
    return []


def _go(url: str, down: str | None, *, yes: bool) -> None:
    if not down:
        schema.upgrade(url)
        return
    if not yes:
        click.confirm(
            f"Going down to {down} deletes what newer revisions stored; go on?", abort=True, err=True
        )
    schema.downgrade(url, down)


def _report(current: str | None, steps: list[Step], *, direction: str, is_done: bool, as_json: bool) -> None:
    if as_json:
        revisions = [asdict(step) for step in steps]
        print_json({"from": current, "direction": direction, "steps": revisions, "done": is_done})
    elif is_newer(current):
        click.echo(f"The tables are at {current}, newer than this version; nothing was changed.")
    elif not steps:
        click.echo(f"Nothing to do: the database is at {current or BASE}.")
    else:
        state = "done" if is_done else "would go"
        print_table(
            ("revision", "content", direction), [(step.revision, step.title, state) for step in steps]
        )
