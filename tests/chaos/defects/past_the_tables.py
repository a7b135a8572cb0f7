"""Define defects in the settle and deliver workers."""

from __future__ import annotations

from typing import Final

from tests.chaos.sabotage import LOST, Defect

DEFECTS: Final = (
    Defect(
        "delivered before it is sent",
        31,
        "deliver is killed before it sends",
        "workers/deliver/leasing.py",
        """
from sqlalchemy import update
_read = read_leased
def read_leased(connection, destination, outbox_ids):
    leased = _read(connection, destination, outbox_ids)
    done = update(deliveries).where(_D.destination == destination, _D.outbox_id.in_(outbox_ids))
    connection.execute(done.values(outcome="delivered"))
    return leased
""",
        LOST,
        stand="behind",
    ),
    Defect(
        "another id at each attempt",
        31,
        "deliver is killed before its record",
        "workers/deliver/webhook.py",
        """
import secrets
_id = WebhookMessage.webhook_id.fget
WebhookMessage.webhook_id = property(lambda self: f"{_id(self)}_{secrets.token_hex(4)}")
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
    connection.execute(settled.values(settled_count=_C.event_count, **NO_WINDOW))
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
        "workers/deliver/outcome.py",
        """
_outcome = HttpResult.outcome.fget
HttpResult.outcome = property(lambda self: Outcome.DELIVERED if self.status is None else _outcome(self))
""",
        LOST,
        stand="behind",
    ),
    Defect(
        "the newest goes first",
        33,
        "the destination is away",
        "workers/deliver/sender.py",
        """
_begin_run = Sender._begin_run
Sender._begin_run = lambda self, deliveries: _begin_run(self, list(reversed(deliveries)))
""",
        "out of order",
        stand="behind",
    ),
    Defect(
        "the platform's word is ignored",
        34,
        "the platform lies",
        "workers/settle/verification.py",
        """
def verify(_update, _platform, _age):
    return Verdict.CONFIRMED
""",
        "contradicted updates were delivered",
        stand="behind",
    ),
)
