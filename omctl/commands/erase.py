"""omctl erase: erase the personal data of a conversation or of a customer."""

from __future__ import annotations

import hashlib
import json
import secrets
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from messaging.clock import SystemClock
from messaging.environment import Environment
from omctl.console import dry_run_option, json_option, print_json, print_table, progress_bar
from omctl.dead_letters import dead_letter_session
from omctl.erasure import check_readable, erase_files, erase_letters, journal_has_any
from omctl.person import person
from workers.db.engine import transact
from workers.db.interventions import (
    ERASE,
    SEARCH_ROWS,
    Intervention,
    begin_intervention,
    conversations_with,
    end_intervention,
    erase_conversations,
    last_event_id,
    needles_of,
)
from workers.parsing import moment_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Engine

EXAMPLES: Final = """\b
Examples:
  omctl erase --customer ext:customer:987654 --dry-run
  omctl erase --customer ext:customer:987654 --reason "GDPR request 4711"
  omctl erase --conversation a1b2c3d4-e5f6-7890-abcd-ef1234567890 --reason "asked by the customer"
"""
LETTERS: Final = "dead-letter queue"
FILES: Final = "set-aside files of this host"


@click.command(epilog=EXAMPLES)
@click.option("--conversation", "conversations", multiple=True, metavar="ID", help="Erase this conversation.")
@click.option(
    "--customer",
    "customers",
    multiple=True,
    metavar="ID",
    help="Erase every conversation with this customer: the id in the platform's GDPR request.",
)
@click.option(
    "--reason", default="", help="Why; recorded with your user name. Required, except with --dry-run."
)
@dry_run_option
@json_option
def erase(
    *, conversations: tuple[str, ...], customers: tuple[str, ...], reason: str, dry_run: bool, as_json: bool
) -> None:
    """Erase the personal data of conversations: bodies, texts, dead letters and set-aside files.

    Ids stay, so that a copy of an erased event takes no effect again. Deliveries that wait for a destination
    are given up. Set-aside files are on each edge host: run the command on every one. It can be repeated.
    """
    if not conversations and not customers:
        raise click.UsageError("Name what to erase: --conversation ID or --customer ID.")
    if not (reason or dry_run):
        raise click.UsageError("--reason is required; it is recorded with your user name.")
    state_directory = Path(Environment().string("OM_STATE_DIRECTORY", "/var/lib/open-messaging"))
    check_readable(state_directory)
    named = [needle for customer in customers for needle in needles_of(customer)]
    with dead_letter_session() as opened:
        chosen = sorted({*conversations, *_conversations_of(opened.engine, named)})
        needles = [*named, *(conversation.encode() for conversation in chosen)]
        intervention = (
            None if dry_run else _begin(opened.engine, (*conversations, *customers), reason, len(chosen))
        )
        erased = _erase_rows(opened.engine, chosen, named, dry_run=dry_run)
        erased[LETTERS] = erase_letters(opened, needles, intervention)
        erased[FILES] = erase_files(state_directory, needles, dry_run=dry_run)
        if intervention:
            _end(opened.engine, intervention, len(chosen))
    _report(
        erased, len(chosen), intervention, waits=journal_has_any(state_directory, needles), as_json=as_json
    )


def _conversations_of(engine: Engine, needles: Sequence[bytes]) -> set[str]:
    """Return the conversations whose kept bodies name a customer; reads every body."""
    found: set[str] = set()
    if not needles:
        return found
    last = transact(engine, last_event_id)
    with progress_bar() as bar:
        task = bar.add_task("Bodies", total=last, note="")
        for above in range(0, last, SEARCH_ROWS):
            found |= transact(engine, partial(conversations_with, needles=needles, above=above))
            bar.update(task, completed=above)
    return found


def _erase_rows(
    engine: Engine, chosen: Sequence[str], named: Sequence[bytes], *, dry_run: bool
) -> dict[str, int]:
    """Erase conversation by conversation, so that no transaction is long."""
    erased: dict[str, int] = {}
    for conversation in chosen or [""]:
        now = moment_of(SystemClock().now_us())
        work = partial(
            erase_conversations, conversation_ids=[conversation], needles=named, now=now, dry_run=dry_run
        )
        for table, rows in transact(engine, work).items():
            erased[table] = erased.get(table, 0) + rows
    return erased


def _begin(engine: Engine, identifiers: Sequence[str], reason: str, chosen: int) -> str:
    """Record the erasure without content: the ids that were named only as digests."""
    digests = [hashlib.sha256(identifier.encode()).hexdigest() for identifier in identifiers]
    record = Intervention(
        secrets.token_hex(8),
        ERASE,
        person(),
        reason,
        json.dumps({"sha256": digests}),
        again=False,
        chosen=chosen,
    )
    now_us = SystemClock().now_us()
    transact(engine, lambda connection: begin_intervention(connection, record, now_us))
    return record.intervention_id


def _end(engine: Engine, intervention_id: str, done: int) -> None:
    now_us = SystemClock().now_us()
    end = partial(end_intervention, intervention_id=intervention_id, done=done)
    transact(engine, partial(end, is_cancelled=False, now_us=now_us))


def _report(
    erased: dict[str, int], conversations: int, intervention: str | None, *, waits: bool, as_json: bool
) -> None:
    notes = [
        "Backups and write-ahead logs made before now still contain the data, until they expire.",
        "RabbitMQ's and PostgreSQL's files contain it until they are compacted: docs/security.md.",
        "Your own services behind the destinations are not reached.",
    ]
    if waits:
        notes.insert(0, "An event in this host's journal has it still: run the command again in a minute.")
    if as_json:
        print_json(
            {
                "conversations": conversations,
                "erased": erased,
                "done": intervention is not None,
                "intervention": intervention,
                "notes": notes,
            }
        )
        return
    heading = "erased" if intervention else "would be erased"
    print_table(("place", heading), [(place, str(count)) for place, count in erased.items()])
    click.echo("\n".join(notes))
    if intervention:
        click.echo(f"{conversations} conversations erased; recorded as intervention {intervention}.")
