"""Define the exchanges and queues with their arguments.

```
open-messaging (direct) ──event──▶ open-messaging.events
      └─ alternate exchange ─────▶ open-messaging.unrouted

both ──reject, limit──▶ open-messaging.dead-letter-records ──recorded──▶ open-messaging.dead-letters
```

Every safeguard of events is a queue argument instead of a policy: a policy can be removed or outranked with
one click, and a quorum queue without its dead-letter exchange drops rejected messages. No queue has a length
limit or a TTL, because without publisher confirms both lose events silently.
"""

from typing import Any, Final

EXCHANGE: Final = "open-messaging"
EVENT_ROUTING_KEY: Final = "event"
EVENTS_QUEUE: Final = "open-messaging.events"
DEAD_LETTERS: Final = "open-messaging.dead-letters"
"""The operators' queue of dead letters, and the exchange to which every dead letter is published first."""
DEAD_LETTER_RECORDS: Final = "open-messaging.dead-letter-records"
"""The queue behind that exchange. Intake records the reason and rejects each dead letter once more."""
RECORDED_DEAD_LETTERS: Final = "open-messaging.recorded-dead-letters"
"""The exchange that passes recorded dead letters to the operators' queue."""
UNROUTED: Final = "open-messaging.unrouted"
"""The alternate exchange and its queue, for events that match no binding. Intake reads it too."""

DELIVERY_LIMIT: Final = 1000
"""How often a delivery may be returned before the broker dead-letters it.

Each crash of a worker counts as a return of every delivery that it held. A poison event that is processed
alone costs two crashes, so an event behind hundreds of poison events must not reach this limit.
"""

EXCHANGES: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    RECORDED_DEAD_LETTERS: ("fanout", {}),
    DEAD_LETTERS: ("fanout", {}),
    UNROUTED: ("fanout", {}),
    EXCHANGE: ("direct", {"alternate-exchange": UNROUTED}),
}
"""Each exchange with its type and arguments, in the order in which they can be declared."""

_DURABLE_QUEUE: Final[dict[str, Any]] = {"x-queue-type": "quorum"}
_DEAD_LETTERING_QUEUE: Final[dict[str, Any]] = {
    **_DURABLE_QUEUE,
    "x-dead-letter-exchange": DEAD_LETTERS,
    # A dead letter stays in its queue until the dead-letter queue has confirmed it. The strategy requires
    # reject-publish, which without a length limit never rejects anything.
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
    "x-delivery-limit": DELIVERY_LIMIT,
}

QUEUES: Final[dict[str, dict[str, Any]]] = {
    # No queue follows the dead letters, so there is no delivery limit: the broker must never drop one.
    DEAD_LETTERS: {**_DURABLE_QUEUE, "x-delivery-limit": -1},
    # Nor may it drop one that waits for its record while the database is unavailable.
    DEAD_LETTER_RECORDS: {
        **_DEAD_LETTERING_QUEUE,
        "x-dead-letter-exchange": RECORDED_DEAD_LETTERS,
        "x-delivery-limit": -1,
    },
    UNROUTED: _DEAD_LETTERING_QUEUE,
    EVENTS_QUEUE: _DEAD_LETTERING_QUEUE,
}
"""Each queue with its arguments."""

BINDINGS: Final[tuple[tuple[str, str, str], ...]] = (
    (DEAD_LETTER_RECORDS, DEAD_LETTERS, ""),
    (DEAD_LETTERS, RECORDED_DEAD_LETTERS, ""),
    (UNROUTED, UNROUTED, ""),
    (EVENTS_QUEUE, EXCHANGE, EVENT_ROUTING_KEY),
)
"""Queue, exchange, routing key."""
