"""Replay or discard the chosen dead letters, window by window.

The steps of each window, of which any may be the last before a kill:

1. the letters are held; 2. the decision is recorded; 3. each is published, and the broker has confirmed it,
or its body is kept; 4. that is recorded; 5. they are removed from the queue.

A letter leaves the queue only after step 3, so none is lost. One that is published twice has the same message
id and the same generation, so it takes effect once.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from messaging.admin import MAX_WINDOW
from messaging.envelope import RECONCILE, REPLAY, WEBHOOK, replay_source
from workers.db.engine import DatabaseClock, transact
from workers.db.ingest import DeadLetter, record_dead_letters
from workers.db.interventions import (
    REPLAY_LETTERS,
    chosen_among,
    decide,
    keep_discarded,
    note_carried_out,
    recorded_among,
)
from workers.parsing import read_identifiers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import Connection

    from messaging.admin import Letter
    from omctl.dead_letters.session import Session
    from omctl.intervening import Run
    from workers.db.interventions import LetterChoice

MAX_WINDOW_SECONDS = 60
"""For the letters of one window: the broker takes back what is held for 30 minutes (its consumer_timeout)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to do with which letters.

    Args:
        choice: Which.
        action: REPLAY_LETTERS or DISCARD_LETTERS.
        again: Whether events that took effect are to take effect once more.
        most: At most this many; None for all.
        rate: Letters per second; 0 for as fast as possible.
    """

    choice: LetterChoice
    action: str
    again: bool
    most: int | None
    rate: float

    @property
    def window(self) -> int:
        """How many letters to hold at once."""
        return min(MAX_WINDOW, max(1, int(self.rate * MAX_WINDOW_SECONDS))) if self.rate else MAX_WINDOW


@dataclass(frozen=True, slots=True)
class Window:
    """Chosen letters, each once, with the steps that carry out the decision about them."""

    steps: Sequence[Callable[[], None]]
    finish: Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is to be done with a window: each letter once, its further copies, and the decision about each."""

    letters: list[Letter]
    copies: list[Letter]
    decisions: dict[str, str]


def windows(session: Session, order: Order, run: Run) -> Iterator[Window]:
    """Yield the chosen letters of what is in the queue now; stop when all named, or *most*, are done."""
    clock = DatabaseClock(session.engine)
    most = order.most or len(order.choice.message_ids) or None
    for held in session.queue.windows(order.window):
        left = None if most is None else most - run.done
        if left == 0:
            return
        chosen = transact(
            session.engine,
            partial(_decide, held=held, order=order, run=run, now_us=clock.now_us(), left=left),
        )
        yield _window(session, order, run, chosen, clock)


def scan(session: Session) -> None:
    """Record each letter in the queue that has no record; every letter keeps its body and its place."""
    clock = DatabaseClock(session.engine)
    for held in session.queue.windows():
        transact(session.engine, partial(_record_unknown, held=held, now_us=clock.now_us()))


def _record_unknown(connection: Connection, held: list[Letter], now_us: int) -> None:
    known = recorded_among(connection, [letter.envelope.identity for letter in held])
    unknown = [_record_of(letter) for letter in held if letter.envelope.identity not in known]
    record_dead_letters(connection, unknown, now_us)


def _decide(
    connection: Connection, *, held: list[Letter], order: Order, run: Run, now_us: int, left: int | None
) -> Chosen:
    """Record the decision. It needs a record: one recorded nowhere would be another decision after a kill."""
    _record_unknown(connection, held, now_us)
    ids = [letter.envelope.identity for letter in held]
    found = chosen_among(connection, ids, order.choice)
    done = {identity for identity in found if found[identity] == (run.intervention_id, True)}
    wanted = [identity for identity in dict.fromkeys(ids) if identity in found and identity not in done]
    first_of = {letter.envelope.identity: letter for letter in reversed(held)}
    letters = [first_of[identity] for identity in wanted[:left]]
    ours = done | {letter.envelope.identity for letter in letters}
    copies = [letter for letter in held if letter.envelope.identity in ours and letter not in letters]
    decisions = decide(connection, wanted[:left], run.intervention_id)
    return Chosen(letters, copies, decisions)


def _window(session: Session, order: Order, run: Run, chosen: Chosen, clock: DatabaseClock) -> Window:
    def publish(letter: Letter) -> None:
        counts = chosen.decisions.get(letter.envelope.identity, run.intervention_id)
        source = replay_source(counts if order.again else None)
        session.republisher.publish(replace(letter.envelope, source=source))

    def settle(connection: Connection, letters: list[Letter]) -> None:
        if order.action != REPLAY_LETTERS:
            bodies = {letter.envelope.identity: letter.envelope.body for letter in letters}
            keep_discarded(connection, bodies, run.intervention_id, clock.now_us())
        note_carried_out(connection, [letter.envelope.identity for letter in letters], clock.now_us())

    def finish(done: int) -> None:
        letters = chosen.letters[:done]
        transact(session.engine, lambda connection: settle(connection, letters))
        undone = {letter.envelope.identity for letter in chosen.letters[done:]}
        copies = [letter for letter in chosen.copies if letter.envelope.identity not in undone]
        session.queue.remove([*letters, *copies])
        run.copies += len(copies)

    def step(letter: Letter) -> Callable[[], None]:
        return lambda: publish(letter) if order.action == REPLAY_LETTERS else None

    return Window([step(letter) for letter in chosen.letters], finish)


def _record_of(letter: Letter) -> DeadLetter:
    """Return the record of a letter that has none: it was put into the queue by hand."""
    envelope = letter.envelope
    source = envelope.source.partition(":")[0]
    event_type, conversation_id = read_identifiers(envelope.body)
    return DeadLetter(
        message_id=envelope.identity,
        code="unknown",
        reason="no record: put into the queue by hand",
        body_sha256=hashlib.sha256(envelope.body).hexdigest(),
        source=source if source in {WEBHOOK, RECONCILE, REPLAY} else "other",
        received_at_us=envelope.received_at_us,
        attempt=1,
        event_type=event_type,
        conversation_id=conversation_id,
        destination=letter.destination,
    )
