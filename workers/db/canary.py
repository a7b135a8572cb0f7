"""Record the arrival of canaries, which workers/observe/canary.py sends; each sending host has one row."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Final

from sqlalchemy import Connection, select

from messaging.envelope import MAX_RECEIVED_US, MIN_RECEIVED_US
from workers.db.engine import insert_into
from workers.db.models import canaries

_RECORD: Final = insert_into(
    canaries,
    ("sender", "sent_at_us", "arrived_at", "arrivals"),
    """
    ON CONFLICT (sender) DO UPDATE SET sent_at_us = excluded.sent_at_us, arrived_at = excluded.arrived_at,
        arrivals = canaries.arrivals + 1
    WHERE excluded.sent_at_us > canaries.sent_at_us
    """,
)


@dataclass(frozen=True, slots=True)
class Canary:
    """A canary: the host that sent it, and the time at which it was sent, by that host's clock."""

    sender: str
    sent_at_us: int

    def encode(self) -> bytes:
        """Return the body of the canary's request."""
        return json.dumps(asdict(self)).encode()


def decode_canary(body: bytes) -> Canary | None:
    """Return the canary in a body; None if the body is not a canary."""
    try:
        canary = Canary(**json.loads(body))
        is_ours = canary.sender.isprintable() and MIN_RECEIVED_US <= canary.sent_at_us <= MAX_RECEIVED_US
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None
    return canary if is_ours and type(canary.sent_at_us) is int else None


def record_canaries(connection: Connection, arrived: Iterable[Canary], now_us: int) -> None:
    """Record the newest canary from each sender; an older or repeated canary changes nothing."""
    newest = dict(sorted((canary.sender, canary.sent_at_us) for canary in arrived))
    _RECORD.execute(connection, [(sender, sent_at_us, now_us, 1) for sender, sent_at_us in newest.items()])


def read_newest_canary(connection: Connection, sender: str) -> int:
    """Return when the sender's newest recorded canary was sent, in epoch microseconds; 0 if there is none."""
    sent_at_us = select(canaries.c.sent_at_us).where(canaries.c.sender == sender)
    return connection.execute(sent_at_us).scalar() or 0
