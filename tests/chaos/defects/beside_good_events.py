"""Define defects from earlier versions, each of which makes one event's failure delay other events."""

from __future__ import annotations

from typing import Final

from tests.chaos.sabotage import LOST, Defect

WAITED: Final = "a good event waited"

DEFECTS: Final = (
    Defect(
        "a brake holds the batch while most events are bad",
        35,
        "ten events a second mostly of an unknown type",
        "workers/intake/intake.py",
        """
from collections import deque
from messaging.errors import RetryLaterError
_process = Intake.process
_latest = deque(maxlen=300)
def _brake(self, batch):
    if sum(_latest) > 270:
        raise RetryLaterError("too many events are bad", delay=1.0)
    verdict = _process(self, batch)
    _latest.extend(delivery.tag in verdict.rejected for delivery in batch)
    return verdict
Intake.process = _brake
""",
        WAITED,
    ),
    Defect(
        "a refusal means that the destination is away",
        36,
        "many events are mostly refused",
        "workers/deliver/outcome.py",
        "HttpResult.is_away = property("
        "lambda self: not (self.outcome is Outcome.DELIVERED or self.is_unsendable))\n",
        WAITED,
        stand="behind",
    ),
    Defect(
        "what is refused with everything is given up",
        36,
        "all is answered 404",
        "workers/deliver/outcome.py",
        "MAY_REFUSE_ALL = frozenset()\n",
        "is a dead letter",
        stand="behind",
    ),
    Defect(
        "an answer may drip for ever",
        36,
        "the answers drip",
        "workers/deliver/webhook.py",
        """
from requests.adapters import HTTPAdapter
def DeadlineAdapter(**_):
    return HTTPAdapter()
def begin_deadline(*_, **__):
    return None
def shorten_deadline(_):
    return None
""",
        "a request was held",
        stand="behind",
    ),
    Defect(
        "the file of the process that starts last decides",
        37,
        "a host starts with an older file",
        "workers/deliver/subscriptions.py",
        """
_register = register
def register(connection, configured, *rest, **names):
    _register(connection, configured, *rest, **names)
    kept = {destination.name for destination in configured}
    connection.execute(subscriptions.delete().where(subscriptions.c.destination.not_in(kept)))
""",
        LOST,
        stand="behind",
    ),
    Defect(
        "the first answer decides",
        38,
        "the platform lags",
        "workers/settle/verification.py",
        "SURE_AFTER_SECONDS = 0.0\n",
        "kept back and not contradicted",
        stand="behind",
    ),
    Defect(
        "a request is repeated although the platform is out of budget",
        38,
        "the platform is out of budget",
        "workers/settle/verifier.py",
        """
from workers.genesys.budget import RequestBudget
setattr(RequestBudget, "pause", lambda self, seconds: None)
_settle_updates = Verifier.settle_updates
def _settle_at_once(self):
    self._resume_at = 0.0
    return _settle_updates(self)
Verifier.settle_updates = _settle_at_once
""",
        "s without a budget",
        stand="behind",
    ),
    Defect(
        "each host goes by its own clock",
        39,
        "one host is an hour ahead",
        "workers/db/engine/database_clock.py",
        "DatabaseClock.now_us = lambda self: self._host_us()\n",
        WAITED,
        stand="behind",
    ),
    Defect(
        "any number is the time of an event",
        40,
        "headers that cannot be stored",
        "messaging/envelope.py",
        "def _is_readable(received_at_us):\n    return isinstance(received_at_us, int)\n",
        "is recorded",
        stand="behind",
    ),
    Defect(
        "a header that cannot be decoded ends the connection",
        40,
        "headers that cannot be stored",
        "messaging/broker/connection.py",
        "setattr(pika.data, 'decode_value', _decode_value)\n",
        "is recorded",
        stand="behind",
    ),
)
