"""omctl setup and omctl migrate: declare the broker's exchanges and queues, and migrate the tables."""

from dataclasses import asdict
from typing import Final

import click
from alembic.script import ScriptDirectory
from alembic.script.revision import RevisionError
from alembic.util import CommandError

from messaging.admin import ObjectState, broker_session, inspect, set_up
from messaging.environment import Environment
from messaging.errors import OpenMessagingError
from omctl.connections import database_url, friendly_errors
from omctl.interface import Command, change_options, print_table, show_json, yes_option
from workers.db.migrations import schema
from workers.db.migrations.reading import grant_reading

ADVICE: Final = {
    **dict.fromkeys(ObjectState, ""),
    ObjectState.DIFFERS: (
        "It exists with other arguments, which no declaration can change. Drain it, delete it (rabbitmqadmin "
        "or the management page) and run omctl setup again."
    ),
    ObjectState.REFUSED: "Give the user of OM_AMQP_URL the permission to configure open-messaging.*",
    ObjectState.MISSING: "omctl setup would create it.",
}
BASE: Final = "base"


@click.command(cls=Command)
@change_options
def setup(*, dry_run: bool) -> None:
    """Declare the exchanges, queues and bindings in the broker at OM_AMQP_URL.

    Existing objects with the right arguments are left alone, so you can repeat the command at any time. If
    objects have different arguments, they are reported but stay unchanged, and the exit status is 1.
    """
    with broker_session(Environment().strings("OM_AMQP_URL"), client_name="omctl setup") as connection:
        objects = inspect(connection) if dry_run else set_up(connection)
    if not show_json({"objects": [asdict(item) for item in objects], "done": not dry_run}):
        rows = [
            (item.kind, item.name, item.state.value, f"{item.explanation} {ADVICE[item.state]}".strip())
            for item in objects
        ]
        print_table(("", "name", "state", "what to do"), rows)
    if any(item.state in {ObjectState.DIFFERS, ObjectState.REFUSED} for item in objects):
        raise SystemExit(1)


@click.command(cls=Command)
@click.option("--down", metavar="REVISION", help="Downgrade to REVISION; `base` deletes every table.")
@click.option(
    "--read-only-role", "reader", metavar="NAME",
    help="Then let the role NAME read everything except bodies and texts; create it if it is missing.",
)  # fmt: skip
@yes_option
@change_options
def migrate(down: str | None, reader: str | None, *, yes: bool, dry_run: bool) -> None:
    """Migrate the tables in the database at OM_DATABASE_URL to the newest revision.

    Each revision is applied in one transaction. Tables that a later version has migrated stay unchanged.
    A downgrade deletes the data that only newer revisions can store, but asks for confirmation first.

    Examples:
      omctl migrate --dry-run
      omctl migrate
      omctl migrate --down base --yes
      omctl migrate --read-only-role open_messaging_reader
    """
    url = database_url(Environment())
    with friendly_errors():
        current = schema.current_revision(url)
        steps = _plan(current, down)
        if steps and down and not (dry_run or yes):
            question = f"A downgrade to {down} deletes what newer revisions stored; continue?"
            click.confirm(question, abort=True, err=True)
        if steps and not dry_run:
            if down:
                schema.downgrade(url, down)
            else:
                schema.upgrade(url)
        readable = grant_reading(url, reader) if reader and not dry_run else []
    direction = "down" if down else "up"
    if show_json({"from": current, "direction": direction, "steps": steps, "done": not dry_run}):
        return
    if schema.is_newer(current):
        click.echo(f"The tables are at {current}, newer than this version; nothing was changed.")
    elif not steps:
        click.echo(f"Nothing to do: the database is at {current or BASE}.")
    else:
        state = "planned" if dry_run else "done"
        print_table(("revision", "content", direction), [(*step.values(), state) for step in steps])
    if reader:
        tables = ", ".join(readable) or "everything except bodies and texts"
        click.echo(f"The role {reader} {'can' if readable else 'could'} read {tables}.")


def _plan(current: str | None, down: str | None) -> list[dict[str, str]]:
    """Return the revisions to apply or revert, in order; none if a newer omctl has migrated the tables."""
    if not schema.is_newer(current):
        return _list_steps(current or BASE, down) if down else _list_steps("head", current)[::-1]
    if down:
        text = "newer than this version: use the omctl of that version"
        raise OpenMessagingError(f"the tables are at {current}, {text}")
    return []


def _list_steps(upper: str, lower: str | None) -> list[dict[str, str]]:
    """Return the revisions above *lower* up to *upper*, newest first."""
    schema.head_revision()
    try:
        found = list(ScriptDirectory(schema.DIRECTORY).iterate_revisions(upper, lower or BASE))
    except (CommandError, RevisionError) as error:
        raise OpenMessagingError(f"no revisions between {lower or BASE} and {upper}: {error}") from error
    return [{"revision": script.revision, "title": script.doc.partition("\n")[0]} for script in found]
