"""Describe the dead letters in the queue: what each is, and why it is there."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import click

from messaging.blocking import PAGE
from messaging.errors import RejectedEventError
from omctl.cancelling import cancellable
from omctl.console import progress_bar
from workers.parsing import EVENT_TYPES, DriftNotes, parse_body, read_body
from workers.tables import death_records, transact

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Engine

    from messaging.blocking import DeadLetterQueue, Letter
    from workers.tables import DeathRecord

NO_RECORD: Final = "no_record"
UNREADABLE: Final = "-"

_WORD: Final = re.compile(r"[\w:.\-]{1,200}", re.ASCII)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One dead letter as a person sees it, however many copies of it the broker has made.

    Args:
        message_id: The accepted request; its body's digest where it had no id.
        code: What is wrong, one stable word; NO_RECORD where the database has none.
        reason: The same for people.
        event_type: What its body says, or UNREADABLE.
        conversation_id: Likewise.
        died_at: When.
        attempts: Deliveries up to then; None where nothing is on record.
        decided_at: When a person decided about it since; it is still here, so that was cut
            short, or it was sent to its destination again.
        source: webhook, reconcile or replay.
        destination: The service that did not take it; None of what intake could not process.
        size: Bytes of its body.
        copies: How often it is in the queue.
        body: What came, byte for byte.
    """

    message_id: str
    code: str
    reason: str
    event_type: str
    conversation_id: str
    died_at: datetime | None
    attempts: int | None
    decided_at: datetime | None
    source: str
    destination: str | None
    size: int
    copies: int = 1
    body: bytes = field(repr=False, default=b"")


def read_dead_letters(queue: DeadLetterQueue, engine: Engine) -> dict[str, DeadLetter]:
    """Look at all that is in the queue now, and leave it as it was, also when it is stopped.

    Returns:
        Each letter once, by message id, in the order of the queue.

    Raises:
        Abort: Ctrl-C or SIGTERM.
    """
    letters: dict[str, DeadLetter] = {}
    left = count = queue.count()
    with cancellable("Putting the letters back.") as cancelled, progress_bar() as bar:
        task = bar.add_task("Reading dead letters", total=count, note="")
        while left > 0 and not cancelled.is_set() and (page := queue.take(min(PAGE, left))):
            left -= len(page)
            for each in _described(page, engine):
                known = letters.get(each.message_id)
                letters[each.message_id] = replace(known, copies=known.copies + 1) if known else each
            bar.update(task, completed=count - left)
        queue.put_back(left if cancelled.is_set() else 0)
    if cancelled.is_set():
        raise click.Abort
    return letters


def described(letter: Letter, record: DeathRecord | None) -> DeadLetter:
    """Describe a letter by its body and by what is on record of it."""
    event_type, conversation_id = content_of(letter.envelope.body)
    return DeadLetter(
        message_id=letter.envelope.identity,
        code=record.code if record else NO_RECORD,
        reason=record.reason if record else "",
        event_type=event_type,
        conversation_id=conversation_id,
        died_at=record.recorded_at if record else letter.died_at,
        attempts=record.attempts if record else None,
        decided_at=record.decided_at if record else None,
        source=letter.envelope.source.partition(":")[0],
        destination=letter.destination,
        size=len(letter.envelope.body),
        body=letter.envelope.body,
    )


def content_of(body: bytes) -> tuple[str, str]:
    """Return event type and conversation of a body, as far as it says; what is no identifier is not shown."""
    try:
        event = read_body(body, DriftNotes(), EVENT_TYPES)[0]
    except RejectedEventError:
        return _words_of(body)
    return event.event_type, event.conversation_id


def _words_of(body: bytes) -> tuple[str, str]:
    try:
        payload = parse_body(body)
    except RejectedEventError:
        return UNREADABLE, UNREADABLE
    return _word(payload.get("eventType", payload.get("type"))), _word(payload.get("conversationId"))


def _word(value: object) -> str:
    return value if isinstance(value, str) and _WORD.fullmatch(value) else UNREADABLE


def _described(letters: list[Letter], engine: Engine) -> list[DeadLetter]:
    message_ids = [each.envelope.identity for each in letters]
    records = transact(engine, lambda connection: death_records(connection, message_ids))
    return [described(each, records.get(each.envelope.identity)) for each in letters]
