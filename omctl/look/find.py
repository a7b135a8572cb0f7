"""omctl find: show what happened to a message, a conversation or a customer's conversations."""

import hashlib
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from sqlalchemy import Engine

from messaging.envelope import Envelope, decode_properties, envelope_of
from messaging.environment import Environment
from messaging.errors import ConfigurationError
from messaging.topology import EVENTS_QUEUE
from omctl.connections import DatabaseUnavailableError, open_database
from omctl.interface import Command, format_json, format_time, json_option, show_json, visible
from webhook_api.journal import Entry, journal_directories, list_segments, read_segment
from workers.db.engine import PATIENT_SESSION, transact
from workers.db.erasure import encode_needles, search_conversations
from workers.db.timeline import Timeline
from workers.db.timeline_search import MAX_EVENTS, find_timelines
from workers.parsing import moment_of, read_identifiers

Item = TypeVar("Item")

JOURNAL_SECONDS: Final = 5.0
"""The time limit for reading this host's journal, which usually holds only the last ten seconds' events."""

FINDER_SESSION: Final = {**PATIENT_SESSION, "default_transaction_read_only": "on"}
"""The session is read-only, because a search on SQLite must not hold the write lock that intake needs."""


@click.command(cls=Command)
@click.argument("identifier", metavar="[ID]", required=False)
@click.option("--customer", metavar="ID", help="Find a customer's conversations; reads every kept body.")
@click.option(
    "--bundle", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Also write the result to FILE, with the digest of each body.",
)  # fmt: skip
@json_option
def find(*, identifier: str | None, customer: str | None, bundle: Path | None) -> None:
    """Show, in chronological order, what happened to ID, where it stopped, and what to do next.

    ID is the id of a message (ours or the platform's), request, conversation, event or dead letter, an
    idempotency key, or the SHA-256 of a body. This searches the database and this host's files; other
    edge hosts have files of their own. Bodies and customer data are never shown. Exit status 1: nothing
    was found, or the database was not searched.

    --bundle writes a file for a third party, without operators' names or reasons. With the `sha256sum` of a
    body, the third party can look up what became of that body's event.

    Examples:
      omctl find a1b2c3d4-e5f6-7890-abcd-ef1234567890
      omctl find $(sha256sum body.json | cut -d' ' -f1) --json
      omctl find 3f2a… --bundle evidence.json
      omctl find --customer ext:customer:987654
    """
    if (identifier is None) == (customer is None):
        raise click.UsageError("Give either an ID or --customer ID.")
    identifiers, problem = ([identifier or ""], None) if customer is None else _find_conversations(customer)
    waiting, journal_problem = search_journal([*identifiers, *([customer] if customer else [])])
    timelines, database_problem = ([], problem) if problem else _find_events(identifiers)
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
        _write(bundle, document)
    if not show_json(document):
        _print(timelines, hints)
    if not timelines or database_problem is not None:
        raise SystemExit(1)


def _find_conversations(customer: str) -> tuple[list[str], str | None]:
    needles = encode_needles([customer])
    return _search_database(lambda engine: sorted(search_conversations(engine, needles)))


def _find_events(identifiers: list[str]) -> tuple[list[Timeline], str | None]:
    return _search_database(
        lambda engine: [found for one in identifiers for found in transact(engine, find_timelines, one)]
    )


def _search_database(search: Callable[[Engine], list[Item]]) -> tuple[list[Item], str | None]:
    """Return the result of *search* and, if the database could not be searched, the reason."""
    try:
        with open_database(FINDER_SESSION) as engine:
            return search(engine), None
    except (ConfigurationError, DatabaseUnavailableError) as error:
        return [], str(error)


def search_journal(identifiers: list[str]) -> tuple[list[Timeline], str | None]:
    """Return the matching events in this host's files and, if some could not be read, the reason."""
    found, needles = list[Timeline](), encode_needles(identifiers)
    deadline = time.monotonic() + JOURNAL_SECONDS
    try:
        for envelope, path in _read_journal():
            if time.monotonic() > deadline:
                return found, f"the search takes longer than {JOURNAL_SECONDS:.0f} s; run omctl check"
            digest = hashlib.sha256(envelope.body).hexdigest()
            is_named = not {envelope.message_id, envelope.request_id, digest}.isdisjoint(identifiers)
            if is_named or any(needle in envelope.body for needle in needles):
                found.append(_trace_waiting(envelope, digest, path))
    except PermissionError:
        return found, "run the command as the edge's user"
    except OSError as error:
        return found, error.strerror or "it cannot be read"
    return found, None


def _trace_waiting(envelope: Envelope, digest: str, path: Path) -> Timeline:
    event_type, conversation_id = read_identifiers(envelope.body)
    received_at = moment_of(envelope.received_at_us)
    timeline = Timeline(envelope.message_id, conversation_id, event_type, digest)
    timeline.add(received_at, "received", f"source {envelope.source}")
    age = (datetime.now(UTC) - received_at).total_seconds()
    place = f"in this host's journal for {age:.0f} s"
    advice = "It is kept until the broker has it, usually for ten seconds. If it stays, run omctl check."
    if path.parent.name == "oversized":
        place = f"in {path.with_suffix('.body')}, too large for the broker and not published"
        advice = "See OpenMessagingSetAside in om-observe's /runbook for how to send it again."
    elif path.parent.name == "damaged":
        place, advice = f"published from the damaged file {path}", "If it is not processed, run omctl check."
    timeline.stop(place, advice)
    return timeline


def _read_journal() -> Iterator[tuple[Envelope, Path]]:
    state = Path(Environment().string("OM_STATE_DIRECTORY", "/var/lib/open-messaging"))
    segments = (one.path for path in journal_directories(state / "journal") for one in list_segments(path))
    # Do not use glob, which silently skips a directory that it cannot read.
    directories = (state / name for name in ("oversized", "damaged") if (state / name).exists())
    for path in chain(segments, *(directory.iterdir() for directory in directories)):
        # The edge might delete a file while it is being read.
        with suppress(FileNotFoundError):
            if path.suffix == ".json":
                facts, body = json.loads(path.read_bytes()), path.with_suffix(".body").read_bytes()
                ids = facts["message_id"], facts["received_at_us"], facts["request_id"], facts["source"]
                yield Envelope(*ids, body), path
            for record in read_segment(path) if path.suffix == ".segment" else ():
                if isinstance(record, Entry):
                    yield envelope_of(decode_properties(record.properties), record.body), path


def _write(path: Path, document: dict[str, Any]) -> None:
    verify = "body_sha256 is the SHA-256 of the request's raw body: compare it with `sha256sum BODY`."
    events = [
        event | {"steps": [step | {"operator": ""} for step in event["steps"]]}
        for event in document["events"]
    ]
    text = format_json({"made_at": datetime.now(UTC), "verify": verify, **document, "events": events})
    path.write_text(f"{text}\n", encoding="utf-8")


def _print(timelines: list[Timeline], hints: list[str]) -> None:
    for timeline in timelines:
        # Escape line breaks, so that a value cannot imitate one of omctl's own lines.
        lines = (visible(line).replace("\n", r"\n") for line in _describe(timeline))
        click.echo("\n".join([*lines, ""]))
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
    yield f"  → Not finished: {timeline.stopped}." if timeline.stopped else "  → Complete."
    if timeline.stopped:
        yield f"    {timeline.advice}"


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
            f"Not found. {_describe_queue()} It may be in another edge host's journal, too: run the command "
            "there; it needs no database for that. Events are deleted after OM_RETENTION_DAYS. For a "
            "customer's id, use --customer."
        )
    return hints


def _describe_queue() -> str:
    from messaging.management import QueueDepths  # noqa: PLC0415  # slow to import, only for unknown ids

    urls = [Environment().strings(name) for name in ("OM_MANAGEMENT_URL", "OM_AMQP_URL")]
    with suppress(ConfigurationError):
        if (depth := QueueDepths(*urls).read().get(EVENTS_QUEUE)) is not None:
            return f"{depth} events wait in the events queue{'; yours may be one' if depth else ''}."
    return "The depth of the events queue, which may hold it, is unknown."
