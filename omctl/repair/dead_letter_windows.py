"""Replay or discard the selected dead letters, window by window.

The command processes each window of dead letters in these steps, and can be killed after any of them:

1. receive the dead letters without acknowledging them; 2. record the decision; 3. publish each dead letter
and wait for the broker's confirm, or keep its body; 4. record the result; 5. remove them from the queue.

A dead letter leaves the queue only after step 3, so none is lost. If a dead letter is published twice, both
copies have the same message id and the same generation, so only one takes effect.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from threading import Event
from typing import Final

from sqlalchemy import Connection

from messaging.admin import MAX_WINDOW, QueuedDeadLetter
from messaging.envelope import RECONCILE, REPLAY, WEBHOOK, replay_source
from omctl.connections import DeadLetterSession
from omctl.interventions import RateLimiter, Run
from workers.db import interventions
from workers.db.engine import transact
from workers.db.ingest import DeadLetter, record_dead_letters
from workers.db.interventions import Action, DeadLetterFilter
from workers.parsing import read_identifiers

MAX_WINDOW_SECONDS: Final = 60
"""A window's time limit. The broker requeues messages unacknowledged for 30 minutes (consumer_timeout)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Which dead letters to process: at most `limit` (None: all), at most `rate` per second (0: no limit)."""

    selected: DeadLetterFilter
    again: bool
    limit: int | None
    rate: float

    def left(self, run: Run) -> int | None:
        """Return how many dead letters remain, according to `limit` or the named ids; None means all."""
        limit = self.limit or len(self.selected.message_ids)
        return limit - run.done if limit else None


def process_windows(session: DeadLetterSession, order: Order, run: Run, cancelled: Event) -> Iterator[int]:
    """Process the dead letters in the queue, window by window; yield the number processed in each."""
    rate_limiter = RateLimiter(order.rate, session.queue.publisher.idle, cancelled)
    size = min(MAX_WINDOW, max(1, int(order.rate * MAX_WINDOW_SECONDS))) if order.rate else MAX_WINDOW
    for held in session.queue.windows(size):
        if order.left(run) == 0:
            return
        now_us = session.clock.now_us()
        chosen, copies, decisions = transact(session.engine, _decide, held, order, run, now_us)
        done = 0
        for dead_letter in chosen:
            if not rate_limiter.wait():
                break
            if run.action is Action.REPLAY_DEAD_LETTERS:
                decision = decisions.get(dead_letter.envelope.identity, run.intervention_id)
                source = replay_source(decision if order.again else None)
                session.queue.publisher.publish(replace(dead_letter.envelope, source=source))
            done += 1
        undone = set(_ids(chosen[done:]))
        copies = [message for message in copies if message.envelope.identity not in undone]
        _finish(session, run, chosen[:done], copies)
        yield done


def record_unrecorded(session: DeadLetterSession) -> None:
    """Record each message in the queue that has no record. The messages stay in the queue, unchanged."""
    for held in session.queue.windows():
        transact(session.engine, _record_unknown, held, session.clock.now_us())


def _record_unknown(connection: Connection, held: list[QueuedDeadLetter], now_us: int) -> None:
    known = interventions.match_dead_letters(connection, _ids(held), DeadLetterFilter())
    unknown = [_describe(message) for message in held if message.envelope.identity not in known]
    record_dead_letters(connection, unknown, now_us)


def _ids(messages: list[QueuedDeadLetter]) -> list[str]:
    return [message.envelope.identity for message in messages]


def _decide(
    connection: Connection, held: list[QueuedDeadLetter], order: Order, run: Run, now_us: int
) -> tuple[list[QueuedDeadLetter], list[QueuedDeadLetter], dict[str, str]]:
    """Record the decision, so that repeating the command after a kill does not count as a second decision.

    Return the window's selected dead letters, other copies of them, and the decision about each.
    """
    _record_unknown(connection, held, now_us)
    ids = _ids(held)
    matching = interventions.match_dead_letters(connection, ids, order.selected)
    done = {identity for identity in matching if matching[identity] == (run.intervention_id, True)}
    wanted = [identity for identity in dict.fromkeys(ids) if identity in matching and identity not in done]
    wanted = wanted[: order.left(run)]
    first_by_id = {message.envelope.identity: message for message in reversed(held)}
    chosen = [first_by_id[identity] for identity in wanted]
    ours = done.union(wanted)
    copies = [message for message in held if message.envelope.identity in ours and message not in chosen]
    is_replay = run.action is Action.REPLAY_DEAD_LETTERS
    decisions = interventions.record_decision(connection, wanted, run.intervention_id, is_replay=is_replay)
    return chosen, copies, decisions


def _finish(
    session: DeadLetterSession, run: Run, processed: list[QueuedDeadLetter], copies: list[QueuedDeadLetter]
) -> None:
    """Record the processed dead letters as done, and remove them and their copies from the queue."""
    now_us = session.clock.now_us()

    def record(connection: Connection) -> None:
        if run.action is Action.DISCARD_DEAD_LETTERS:
            bodies = {message.envelope.identity: message.envelope.body for message in processed}
            interventions.keep_discarded(connection, bodies, run.intervention_id, now_us)
        interventions.record_execution(connection, _ids(processed), now_us)

    transact(session.engine, record)
    session.queue.remove([*processed, *copies])
    run.copies += len(copies)


def _describe(dead_letter: QueuedDeadLetter) -> DeadLetter:
    """Return a record for a message that has none, because an operator put it into the queue."""
    envelope = dead_letter.envelope
    source = envelope.source.partition(":")[0]
    event_type, conversation_id = read_identifiers(envelope.body)
    return DeadLetter(
        message_id=envelope.identity,
        code="unknown",
        reason="no record: the message was put into the queue by hand",
        body_sha256=hashlib.sha256(envelope.body).hexdigest(),
        source=source if source in {WEBHOOK, RECONCILE, REPLAY} else "other",
        received_at_us=envelope.received_at_us,
        attempt=1,
        event_type=event_type,
        conversation_id=conversation_id,
        destination=dead_letter.destination,
    )
