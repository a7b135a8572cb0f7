"""omctl migrate: bring the tables to a revision."""

from typing import Final

import click
from alembic.script import ScriptDirectory
from alembic.script.revision import RevisionError
from alembic.util import CommandError

from messaging.environment import Environment
from messaging.errors import OpenMessagingError
from omctl.connections import database_url, friendly_errors
from omctl.console import print_json, print_table
from omctl.options import dry_run_option, json_option, yes_option
from workers.db.migrations import schema
from workers.db.migrations.reading import grant_reading

BASE: Final = "base"
HEAD: Final = "head"

EXAMPLES = """\b
Examples:
  omctl migrate --dry-run
  omctl migrate
  omctl migrate --down base --yes
  omctl migrate --read-only-role open_messaging_reader
"""


class UnknownRevisionError(OpenMessagingError):
    """Nothing was changed; use a revision that `omctl migrate --dry-run --down base` lists."""


@click.command(epilog=EXAMPLES)
@click.option("--down", metavar="REVISION", help="Go down to REVISION; `base` deletes every table.")
@click.option(
    "--read-only-role", "reader", metavar="NAME",
    help="Then let the role NAME read everything except bodies and texts; create it if it is missing.",
)  # fmt: skip
@yes_option
@dry_run_option
@json_option
def migrate(down: str | None, reader: str | None, *, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Bring the tables of OM_DATABASE_URL to the newest revision.

    Each revision is one transaction. Tables that a later version has migrated further stay as they are.
    Going down deletes what newer revisions stored, and asks first.
    """
    url = database_url(Environment())
    with friendly_errors():
        current = schema.current_revision(url)
        steps = _plan(current, down)
        if steps and not dry_run:
            _apply(url, down, yes=yes)
        readable = grant_reading(url, reader) if reader and not dry_run else []
    _report(current, steps, direction="down" if down else "up", is_done=not dry_run, as_json=as_json)
    if reader and not as_json:
        tables = ", ".join(readable) or "everything except bodies and texts"
        click.echo(f"The role {reader} {'can' if readable else 'could'} read {tables}.")


def _plan(current: str | None, down: str | None) -> list[dict[str, str]]:
    """Return the revisions to apply or revert, in order; none if a later version applied newer ones.

    Raises:
        UnknownRevisionError: This version does not have the revisions in between.
    """
    if not schema.is_newer(current):
        return _list_steps(current or BASE, down) if down else _list_steps(HEAD, current)[::-1]
    if down:
        raise UnknownRevisionError(
            f"the tables are at {current}, newer than this version: use the omctl of that version"
        )
    return []


def _list_steps(upper: str, lower: str | None) -> list[dict[str, str]]:
    """Return the revisions above *lower* up to *upper*, newest first."""
    schema.head_revision()
    try:
        found = list(ScriptDirectory(schema.DIRECTORY).iterate_revisions(upper, lower or BASE))
    except (CommandError, RevisionError) as error:
        raise UnknownRevisionError(f"no revisions between {lower or BASE} and {upper}: {error}") from error
    return [{"revision": script.revision, "title": script.doc.partition("\n")[0]} for script in found]


def _apply(url: str, down: str | None, *, yes: bool) -> None:
    if not down:
        schema.upgrade(url)
        return
    if not yes:
        question = f"Going down to {down} deletes what newer revisions stored; go on?"
        click.confirm(question, abort=True, err=True)
    schema.downgrade(url, down)


def _report(
    current: str | None, steps: list[dict[str, str]], *, direction: str, is_done: bool, as_json: bool
) -> None:
    if as_json:
        print_json({"from": current, "direction": direction, "steps": steps, "done": is_done})
    elif schema.is_newer(current):
        click.echo(f"The tables are at {current}, newer than this version; nothing was changed.")
    elif not steps:
        click.echo(f"Nothing to do: the database is at {current or BASE}.")
    else:
        state = "done" if is_done else "planned"
        print_table(("revision", "content", direction), [(*step.values(), state) for step in steps])
