"""omctl find: show what happened to a message, a conversation or a customer's conversations."""

import hashlib
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from messaging.envelope import Envelope, decode_properties, envelope_of
from messaging.environment import Environment
from messaging.errors import ConfigurationError
from omctl.connections import DatabaseUnavailableError, open_database
from omctl.interface import Command, format_json, format_time, json_option, show_json, visible
from webhook_api.journal import Entry, journal_directories, list_segments, read_segment
from workers.db.engine import PATIENT_SESSION, transact
from workers.db.erasure import encode_needles, search_conversations
from workers.db.timeline import Step, Timeline
from workers.db.timeline_search import MAX_EVENTS, find_timelines
from workers.parsing import moment_of, read_identifiers

JOURNAL_SECONDS: Final = 5.0
"""The time limit for reading this host's journal, which usually holds the events of ten seconds."""

FINDER_SESSION: Final = {**PATIENT_SESSION, "default_transaction_read_only": "on"}
"""Read-only, because a search on SQLite must not hold the only write lock, which intake needs."""


@click.command(cls=Command)
@click.argument("identifier", metavar="[ID]", required=False)
@click.option("--customer", metavar="ID", help="Find a customer's conversations; reads every kept body.")
@click.option(
    "--bundle", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Also write the result to FILE, with the digest of each body.",
)  # fmt: skip
@json_option
def find(*, identifier: str | None, customer: str | None, bundle: Path | None) -> None:
    """Show in order of time what happened to ID, where it stopped, and what to do next.

    ID is the id of a message (ours or the platform's), request, conversation, event or dead letter, an
    idempotency key, or the SHA-256 of a body. Shows what the database and this host's journal record; other
    edge hosts have journals of their own. No body and no customer's data is shown. Exit status 1: nothing was
    found, or the database was not searched.

    --bundle writes a file for a third party, without operators and their reasons: with `sha256sum` of a body
    it can check what became of it.

    Examples:
      omctl find a1b2c3d4-e5f6-7890-abcd-ef1234567890
      omctl find $(sha256sum body.json | cut -d' ' -f1) --json
      omctl find 3f2a… --bundle evidence.json
      omctl find --customer ext:customer:987654
    """
    if (identifier is None) == (customer is None):
        raise click.UsageError("Give either an ID or --customer ID.")
    identifiers = [identifier or ""] if customer is None else _find_conversations(customer)
    waiting, journal_problem = search_journal(identifiers)
    timelines, database_problem = search_database(identifiers)
    hints = _list_hints(timelines or waiting, journal_problem, database_problem)
    known = {timeline.message_id for timeline in timelines}
    timelines += [timeline for timeline in waiting if timeline.message_id not in known]
    document: dict[str, Any] = {
        "id": identifier,
        "host": socket.gethostname(),
        "journal_searched": journal_problem is None,
        "hints": hints,
        "events": [asdict(timeline) for timeline in timelines],
    }
    if database_problem is not None:
        document["error"] = {"status": 1, "message": database_problem}
    if bundle is not None:
        _write(bundle, document, timelines)
    if not show_json(document):
        _print(timelines, hints)
    if not timelines or database_problem is not None:
        raise SystemExit(1)


def _find_conversations(customer: str) -> list[str]:
    with open_database(FINDER_SESSION) as engine:
        return sorted(search_conversations(engine, encode_needles(customer)))


def search_database(identifiers: list[str]) -> tuple[list[Timeline], str | None]:
    """Return the database's records about these ids, and the reason if it could not be searched."""
    try:
        with open_database(FINDER_SESSION) as engine:
            found = [transact(engine, find_timelines, wanted) for wanted in identifiers]
    except (ConfigurationError, DatabaseUnavailableError) as error:
        return [], str(error)
    return [timeline for timelines in found for timeline in timelines], None


def search_journal(identifiers: list[str]) -> tuple[list[Timeline], str | None]:
    """Return this host's journalled events with one of these ids, and the reason if some were not read."""
    wanted, found = {*identifiers}, list[Timeline]()
    needles = [needle for identifier in identifiers for needle in encode_needles(identifier)]
    deadline = time.monotonic() + JOURNAL_SECONDS
    try:
        for envelope in _read_journal():
            if time.monotonic() > deadline:
                return found, f"it takes longer than {JOURNAL_SECONDS:.0f} s; run omctl check"
            digest = hashlib.sha256(envelope.body).hexdigest()
            is_named = not wanted.isdisjoint({envelope.message_id, envelope.request_id, digest})
            # Searching a body costs much less than parsing it.
            if is_named or any(needle in envelope.body for needle in needles):
                event_type, conversation_id = read_identifiers(envelope.body)
                if is_named or conversation_id in wanted:
                    timeline = Timeline(envelope.message_id, conversation_id, event_type, digest)
                    found.append(_trace_waiting(timeline, envelope))
    except PermissionError:
        return found, "run the command as the edge's user"
    except OSError as error:
        return found, error.strerror or "it cannot be read"
    return found, None


def _trace_waiting(timeline: Timeline, envelope: Envelope) -> Timeline:
    received_at = moment_of(envelope.received_at_us)
    timeline.steps += [
        Step(received_at, "received", f"source {envelope.source}"),
        Step(None, "in this host's journal", "kept until the broker has it for certain"),
    ]
    age = (datetime.now(UTC) - received_at).total_seconds()
    advice = "Usually it leaves within ten seconds. If it does not: omctl check."
    timeline.stop(f"in this host's journal for {age:.0f} s", advice)
    return timeline


def _read_journal() -> Iterator[Envelope]:
    root = Path(Environment().string("OM_STATE_DIRECTORY", "/var/lib/open-messaging")) / "journal"
    segments = (segment for directory in journal_directories(root) for segment in list_segments(directory))
    for segment in segments:
        # The segment may be proven and deleted meanwhile.
        with suppress(FileNotFoundError):
            for record in read_segment(segment.path):
                if isinstance(record, Entry):
                    yield envelope_of(decode_properties(record.properties), record.body)


def _write(path: Path, document: dict[str, Any], timelines: list[Timeline]) -> None:
    verify = "body_sha256 is the SHA-256 of the request's raw body: compare it with `sha256sum BODY`."
    events = [
        asdict(replace(timeline, steps=[replace(step, operator="") for step in timeline.steps]))
        for timeline in timelines
    ]
    text = format_json({"made_at": datetime.now(UTC), "verify": verify, **document, "events": events})
    path.write_text(f"{text}\n", encoding="utf-8")


def _print(timelines: list[Timeline], hints: list[str]) -> None:
    for timeline in timelines:
        click.echo(visible("\n".join(_describe(timeline))))
    click.echo("\n".join(hints), err=True, nl=bool(hints))


def _describe(timeline: Timeline) -> Iterator[str]:
    number = f"event {timeline.event_id}" if timeline.event_id is not None else "no event"
    yield f"{timeline.event_type or 'unknown type'}  {number}  message {timeline.message_id}"
    yield f"  conversation {timeline.conversation_id or 'unknown'}"
    yield f"  key {timeline.idempotency_key or 'unknown'}"
    yield f"  body SHA-256 {timeline.body_sha256 or 'unknown'}"
    for step in timeline.steps:
        detail = f": {step.detail}" if step.detail else ""
        operator = f", by {step.operator}" if step.operator else ""
        yield f"  {format_time(step.at) or 'now':19}  {step.step}{detail}{operator}"
    stopped = f"  → Not finished: {timeline.stopped}.\n    {timeline.advice}"
    yield f"{stopped if timeline.stopped else '  → Complete.'}\n"


def _list_hints(
    timelines: list[Timeline], journal_problem: str | None, database_problem: str | None
) -> list[str]:
    hints: list[str] = []
    if database_problem is not None:
        hints.append(f"The database was not searched: {database_problem}.")
    if journal_problem is not None:
        hints.append(f"This host's journal was not searched completely: {journal_problem}.")
    if len(timelines) >= MAX_EVENTS:
        hints.append(f"Only the newest {MAX_EVENTS} events and dead letters are shown.")
    if not timelines:
        hints.append(
            "Not found. An event of the last minute may be in the events queue, or in another edge host's "
            "journal: run the command there; it needs no database for that. Older events are deleted after "
            "OM_RETENTION_DAYS. For a customer's id, use --customer."
        )
    return hints
