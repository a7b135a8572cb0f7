"""omctl find: show what happened to a message, a conversation or a customer's conversations."""

from __future__ import annotations

import hashlib
import socket
import time
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from messaging.envelope import decode_properties, envelope_of
from messaging.environment import Environment
from omctl.connections import open_database
from omctl.console import format_json, format_time, print_json, visible
from omctl.options import json_option
from webhook_api.journal import Entry, journal_directories, list_segments, read_segment
from workers.db.engine import transact
from workers.db.erasure import encode_needles, search_conversations
from workers.db.timeline import Step, Timeline
from workers.db.timeline_search import find_timelines
from workers.parsing import moment_of, read_identifiers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from messaging.envelope import Envelope

JOURNAL_SECONDS: Final = 0.5
"""For reading this host's journal; usually it holds the events of the last ten seconds."""

EXAMPLES: Final = """\b
Examples:
  omctl find a1b2c3d4-e5f6-7890-abcd-ef1234567890
  omctl find $(sha256sum body.json | cut -d' ' -f1) --json
  omctl find 3f2a… --bundle evidence.json
  omctl find --customer ext:customer:987654
"""


@click.command(epilog=EXAMPLES)
@click.argument("identifier", metavar="[ID]", required=False)
@click.option("--customer", metavar="ID", help="Find a customer's conversations; reads every kept body.")
@click.option(
    "--bundle", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Also write the result to FILE, with the digest of each body.",
)  # fmt: skip
@json_option
def find(*, identifier: str | None, customer: str | None, bundle: Path | None, as_json: bool) -> None:
    """Show in order of time what happened to ID, where it stopped, and what to do next.

    ID is the id of a message (ours or the platform's), request, conversation, event or dead letter, an
    idempotency key, or the SHA-256 of a body. Shows what the database and this host's journal record; other
    edge hosts have journals of their own. No body and no personal data is shown. Exit status 1: not found.

    --bundle writes a file for a third party: with `sha256sum` of a body it can check what became of it.
    """
    if (identifier is None) == (customer is None):
        raise click.UsageError("Give either an ID or --customer ID.")
    with open_database() as engine:
        if customer is None:
            identifiers = [identifier or ""]
        else:
            identifiers = sorted(search_conversations(engine, encode_needles(customer)))
        timelines: list[Timeline] = []
        for wanted in identifiers:
            timelines += transact(engine, partial(find_timelines, identifier=wanted))
    waiting, is_complete = search_journal(identifiers)
    timelines += waiting
    document = {
        "id": identifier or customer,
        "host": socket.gethostname(),
        "journal_searched": is_complete,
        "events": [asdict(timeline) for timeline in timelines],
    }
    if bundle is not None:
        _write(bundle, document)
    if as_json:
        print_json(document)
    else:
        _print(timelines)
        _print_hints(timelines, is_journal_searched=is_complete)
    if not timelines:
        raise SystemExit(1)


def search_journal(identifiers: list[str]) -> tuple[list[Timeline], bool]:
    """Return the events in this host's journal that have one of these ids, and whether all of it was read."""
    found, deadline = list[Timeline](), time.monotonic() + JOURNAL_SECONDS
    try:
        for envelope in _read_journal():
            if time.monotonic() > deadline:
                return found, False
            event_type, conversation_id = read_identifiers(envelope.body)
            digest = hashlib.sha256(envelope.body).hexdigest()
            if {envelope.message_id, envelope.request_id, conversation_id, digest} & {*identifiers}:
                timeline = Timeline(envelope.message_id, conversation_id, event_type, digest)
                received_at = moment_of(envelope.received_at_us)
                timeline.steps.append(Step(received_at, "received", f"source {envelope.source}"))
                timeline.steps.append(
                    Step(None, "in this host's journal", "kept until the broker has it for certain")
                )
                age = datetime.now(UTC) - received_at
                timeline.stop(
                    f"in this host's journal for {age.total_seconds():.0f} s",
                    "Usually it leaves within ten seconds. If it does not: omctl check.",
                )
                found.append(timeline)
    except OSError:
        return found, False
    return found, True


def _read_journal() -> Iterator[Envelope]:
    root = Path(Environment().string("OM_STATE_DIRECTORY", "/var/lib/open-messaging")) / "journal"
    for directory in journal_directories(root):
        for segment in list_segments(directory):
            try:
                for record in read_segment(segment.path):
                    if isinstance(record, Entry):
                        yield envelope_of(decode_properties(record.properties), record.body)
            except FileNotFoundError:
                # Proven and removed meanwhile.
                continue


def _write(path: Path, document: dict[str, Any]) -> None:
    verify = "body_sha256 is the SHA-256 of the request's raw body: compare it with `sha256sum BODY`."
    text = format_json({"made_at": datetime.now(UTC), "verify": verify, **document})
    path.write_text(f"{text}\n", encoding="utf-8")


def _print(timelines: list[Timeline]) -> None:
    for timeline in timelines:
        number = f"event {timeline.event_id}" if timeline.event_id is not None else "no event"
        lines = [f"{timeline.event_type or 'unknown type'}  {number}  message {timeline.message_id}"]
        lines += [f"  conversation {timeline.conversation_id or 'unknown'}"]
        lines += [f"  key {timeline.idempotency_key or 'unknown'}"]
        lines += [f"  body SHA-256 {timeline.body_sha256 or 'unknown'}"]
        for step in timeline.steps:
            detail = f": {step.detail}" if step.detail else ""
            lines.append(f"  {format_time(step.at) or 'now':19}  {step.step}{detail}")
        state = (
            [f"Not finished: {timeline.stopped}.", f"  {timeline.advice}"]
            if timeline.stopped
            else ["Complete."]
        )
        click.echo(visible("\n".join([*lines, f"  → {state[0]}", *(f"  {line}" for line in state[1:]), ""])))


def _print_hints(timelines: list[Timeline], *, is_journal_searched: bool) -> None:
    if not is_journal_searched:
        click.echo(
            "This host's journal was not searched completely: run the command as the edge's user.", err=True
        )
    if not timelines:
        click.echo(
            "Not found. An event of the last minute may be in the events queue, or in another edge host's "
            "journal: run the command there. Older events are deleted after "
            "OM_RETENTION_DAYS. For a customer's id, use --customer.",
            err=True,
        )
