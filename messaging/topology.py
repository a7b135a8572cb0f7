"""Define the broker's exchanges and queues with their arguments, and the bindings between them.

```
open-messaging (direct) ──event──▶ open-messaging.events
      └─ alternate exchange ─────▶ open-messaging.unrouted

both ──reject, limit──▶ open-messaging.dead-letter-records ──recorded──▶ open-messaging.dead-letters
```

Queue arguments, not policies, protect the events: one click can remove or override a policy, and a quorum
queue without its dead-letter exchange drops rejected messages. No queue has a length limit or a TTL, because
both would silently drop events that are published without confirms.
"""

from typing import Any, Final

EXCHANGE: Final = "open-messaging"
EVENT_ROUTING_KEY: Final = "event"
EVENTS_QUEUE: Final = "open-messaging.events"
DEAD_LETTERS: Final = "open-messaging.dead-letters"
"""The operators' queue of dead letters, and the exchange to which every dead letter is published first."""
DEAD_LETTER_RECORDS: Final = "open-messaging.dead-letter-records"
"""The queue bound to the exchange DEAD_LETTERS. Intake records each dead letter's reason, then rejects it."""
RECORDED_DEAD_LETTERS: Final = "open-messaging.recorded-dead-letters"
"""The exchange that passes recorded dead letters to the operators' queue."""
UNROUTED: Final = "open-messaging.unrouted"
"""The alternate exchange, and its queue for events that match no binding. Intake consumes this queue too."""

DELIVERY_LIMIT: Final = 1000
"""How many times a delivery can be returned before the broker dead-letters it.

Each crash of a worker counts as a return of every delivery that the worker held. A poison event that is
processed alone causes two crashes; an event behind hundreds of poison events must not reach the limit.
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
    # With this strategy, a dead letter stays in its queue until the dead-letter queue has confirmed it. The
    # strategy requires reject-publish, which rejects nothing because there is no length limit.
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
    "x-delivery-limit": DELIVERY_LIMIT,
}

QUEUES: Final[dict[str, dict[str, Any]]] = {
    # Dead letters stay in this last queue without a delivery limit, because the broker must never drop them.
    DEAD_LETTERS: {**_DURABLE_QUEUE, "x-delivery-limit": -1},
    # This queue has no delivery limit, because its dead letters must wait while the database is unavailable.
    DEAD_LETTER_RECORDS: {
        **_DEAD_LETTERING_QUEUE,
        "x-dead-letter-exchange": RECORDED_DEAD_LETTERS,
        "x-delivery-limit": -1,
    },
    UNROUTED: _DEAD_LETTERING_QUEUE,
    EVENTS_QUEUE: _DEAD_LETTERING_QUEUE,
}
"""The arguments of each queue."""

BINDINGS: Final[tuple[tuple[str, str, str], ...]] = (
    (DEAD_LETTER_RECORDS, DEAD_LETTERS, ""),
    (DEAD_LETTERS, RECORDED_DEAD_LETTERS, ""),
    (UNROUTED, UNROUTED, ""),
    (EVENTS_QUEUE, EXCHANGE, EVENT_ROUTING_KEY),
)
"""The bindings, each as queue, exchange and routing key."""
