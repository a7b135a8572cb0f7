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
@click.option("--to", "target", metavar="REVISION", help="Go up to REVISION, not to the newest.")
@click.option("--down", metavar="REVISION", help="Go down to REVISION; `base` leaves nothing.")
@click.option(
    "--read-only-role",
    "reader",
    metavar="NAME",
    help="Then let the role NAME read all but bodies and texts; it is made where there is none.",
)
@click.option("--yes", is_flag=True, help="With --down: do not ask.")
@dry_run_option
@json_option
def migrate(
    target: str | None, down: str | None, reader: str | None, *, yes: bool, dry_run: bool, as_json: bool
) -> None:
    """Bring the tables of OM_DATABASE_URL to the newest revision.

    Each revision is one transaction; what is there already is left alone, and so are tables that a later
    version has brought further than this one knows. Going down deletes what newer revisions stored, and asks
    first.
    """
    if target and down:
        raise click.UsageError("--to goes up and --down goes down: name one.")
    url = database_url(Environment())
    with in_words():
        current = schema.current_revision(url)
        steps = _steps(current, target, down)
        if steps and not dry_run:
            _go(url, target or HEAD, down, yes=yes)
        readable = grant_reading(url, reader) if reader and not dry_run else []
    _tell(current, steps, direction="down" if down else "up", is_done=not dry_run, as_json=as_json)
    if reader and not as_json:
        rights = f"reads {', '.join(readable)}" if readable else "would read all but bodies and texts"
        click.echo(f"The role {reader} {rights}.")


def _steps(current: str | None, target: str | None, down: str | None) -> list[Step]:
    """Return the revisions to go through, in their order; none from where a later version has brought it.

    Raises:
        UnknownRevisionError: This version does not know the way.
    """
    if is_newer(current):
        if target or down:
            raise UnknownRevisionError(
                f"the tables are at {current}, newer than this version knows: "
                "take the omctl of the version that brought them there"
            )
        return []
    return steps_between(current or BASE, down) if down else steps_between(target or HEAD, current)[::-1]


def _go(url: str, target: str, down: str | None, *, yes: bool) -> None:
    if not down:
        schema.upgrade(url, target)
        return
    if not yes:
        click.confirm(
            f"Going down to {down} deletes what newer revisions stored; go on?", abort=True, err=True
        )
    schema.downgrade(url, down)


def _tell(current: str | None, steps: list[Step], *, direction: str, is_done: bool, as_json: bool) -> None:
    if as_json:
        revisions = [asdict(step) for step in steps]
        print_json({"from": current, "direction": direction, "steps": revisions, "done": is_done})
    elif is_newer(current):
        click.echo(f"The tables are at {current}, newer than this version knows; left alone.")
    elif not steps:
        click.echo(f"Nothing to do: the database is at {current or BASE}.")
    else:
        state = "done" if is_done else "would go"
        print_table(("revision", "what", direction), [(step.revision, step.title, state) for step in steps])
