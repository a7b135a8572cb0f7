"""Break what settles and delivers."""

from __future__ import annotations

from typing import Final

from tests.chaos.sabotage import LOST, Defect

DEFECTS: Final = (
    Defect(
        "delivered before it is sent",
        31,
        "deliver is killed before it sends",
        "workers/deliver/deliveries.py",
        """
_take = take
def take(connection, destination, now_us, **names):
    runs = _take(connection, destination, now_us, **names)
    ids = [each.message.outbox_id for run in runs for each in run]
    done = update(deliveries).where(_D.destination == destination, _D.outbox_id.in_(ids))
    connection.execute(done.values(outcome="delivered"))
    return runs
""",
        LOST,
        stand="behind",
    ),
    Defect(
        "another id at each attempt",
        31,
        "deliver is killed before its record",
        "workers/deliver/attempts.py",
        """
import secrets
def _send(transport, taken):
    return transport.send(f"{taken.message.webhook_id}_{secrets.token_hex(4)}", body_of(taken.message))
""",
        "comes again under the same id",
        stand="behind",
    ),
    Defect(
        "the state before the outbox",
        32,
        "settle is killed before it commits",
        "workers/settle/conversations.py",
        """
_put = put_in_outbox
def put_in_outbox(connection, rows):
    keys = sorted({row[0] for row in rows})
    settled = update(conversations).where(_C.conversation_id.in_(keys))
    connection.execute(settled.values(settled_count=_C.event_count))
    close_windows(connection, keys)
    connection.connection.driver_connection.commit()
    _put(connection, rows)
""",
        LOST,
        stand="behind",
    ),
    Defect(
        "no answer is a good answer",
        33,
        "the destination is away",
        "workers/deliver/judgement.py",
        """
_end = Answer.end.fget
Answer.end = property(lambda self: End.DELIVERED if self.status is None else _end(self))
""",
        LOST,
        stand="behind",
    ),
    Defect(
        "the newest goes first",
        33,
        "the destination is away",
        "workers/deliver/deliveries.py",
        """
_take = take
def take(*places, **names):
    return [run[::-1] for run in _take(*places, **names)]
""",
        "out of order",
        stand="behind",
    ),
    Defect(
        "the platform's word is ignored",
        34,
        "the platform lies",
        "workers/settle/agreement.py",
        """
def judge(_update, _platform, _age):
    return CONFIRMED
""",
        "contradicted updates were delivered",
        stand="behind",
    ),
)
