"""Record the steps of an intake worker: how it submits, claims, commits and settles deliveries.

worker_trace.py describes and checks the steps.
"""

from __future__ import annotations

import functools
import hashlib
from typing import TYPE_CHECKING, Any

from pika.channel import Channel

from messaging.consuming.processing import Processing
from messaging.consuming.settling import Acknowledger, DelayedRetries
from tests.model.recording import follow, precede
from workers.db import ingest
from workers.intake import intake

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from messaging.consuming import Delivery
    from workers.db.ingest import DeadLetter


def record_worker(write: Callable[[dict[str, Any]], None]) -> None:
    """Record the steps of this interpreter's intake worker. Its threads call *write* with each step."""
    recorder = _Recorder(write)
    # Record these steps before the call, because another thread can react to the call immediately.
    precede(Processing, "submit", recorder.on_submit)
    precede(DelayedRetries, "add", recorder.on_put_off)
    precede(Acknowledger, "add", recorder.on_settled)
    precede(Channel, "basic_ack", recorder.on_acknowledge)
    precede(Channel, "basic_reject", recorder.on_reject)
    precede(intake.Intake, "_commit", recorder.on_outcomes)
    # After this call, the thread begins no more batches of the lost connection.
    follow(Processing, "abandon", recorder.on_abandon)
    follow(ingest, "claim", recorder.on_claim)
    follow(ingest, "record_dead_letters", recorder.on_record)
    intake.transact = recorder.follow_transaction(intake.transact)


class _Recorder:
    """Only the processing thread uses `_outcomes` and `_is_open`; only the loop's thread uses `_settled`."""

    def __init__(self, write: Callable[[dict[str, Any]], None]) -> None:
        self._write = write
        self._outcomes: Sequence[Any] = ()
        self._is_open = False
        self._settled: set[int] = set()

    def _record(self, step: str, **fields: object) -> None:
        self._write({"step": step, **fields})

    def on_submit(self, _processing: object, deliveries: Sequence[Delivery]) -> None:
        self._record("submit", deliveries=[_name(delivery) for delivery in deliveries])

    def on_abandon(self, _result: None, _processing: object) -> None:
        self._settled.clear()
        self._record("lose")

    def on_put_off(self, _retries: object, batch: Sequence[Delivery], delays: dict[int, float]) -> None:
        if delays:
            names = [_name(delivery) for delivery in batch if delivery.tag in delays]
            self._record("put_off", deliveries=names)

    def on_settled(self, _acknowledger: object, tags: Sequence[int]) -> None:
        self._settled.update(tags)

    def on_acknowledge(self, _channel: object, tag: int, multiple: bool) -> None:  # noqa: FBT001  # pika's
        meant = {one for one in self._settled if one == tag or (multiple and one < tag)}
        self._settled -= meant
        self._record("acknowledge", tag=tag, multiple=multiple, deliveries=len(meant))

    def on_reject(self, _channel: object, tag: int, *, requeue: bool = True) -> None:
        self._record("reject", tag=tag, requeue=requeue)

    def on_outcomes(self, _intake: object, outcomes: Sequence[Any], _results: object) -> None:
        self._outcomes = outcomes

    def on_claim(self, claims: ingest.Claims, *_: object) -> None:
        self._is_open = True
        keys = [_shorten(claimed.event.idempotency_key) for claimed in claims.new]
        self._record("claim", deliveries=self._names, keys=keys)

    def on_record(self, _new: object, _connection: object, dead: Collection[DeadLetter], _us: int) -> None:
        reasons = {dead_letter.message_id for dead_letter in dead}
        deliveries = [outcome.delivery for outcome in self._outcomes]
        names = [_name(delivery) for delivery in deliveries if delivery.envelope.identity in reasons]
        if names:
            self._record("record", deliveries=names)

    def follow_transaction(self, transact: Callable[..., Any]) -> Callable[..., Any]:
        """Return a version of *transact* that records how each attempt ends: by a commit or a rollback."""

        @functools.wraps(transact)
        def call(engine: Any, work: Callable[..., Any]) -> Any:
            def try_once(connection: Any) -> Any:
                self._roll_back()
                return work(connection)

            try:
                result = transact(engine, try_once)
            except BaseException:
                self._roll_back()
                raise
            self._is_open = False
            self._record("commit", deliveries=self._names)
            return result

        return call

    def _roll_back(self) -> None:
        """Record a rollback if a transaction is open."""
        if self._is_open:
            self._is_open = False
            self._record("roll_back")

    @property
    def _names(self) -> list[tuple[int, str]]:
        return [_name(outcome.delivery) for outcome in self._outcomes]


def _name(delivery: Delivery) -> tuple[int, str]:
    return delivery.tag, _shorten(delivery.envelope.identity)


def _shorten(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
