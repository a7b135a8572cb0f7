"""A replay with `--again` gives an event another effect after the event's own key has been recorded."""

from dataclasses import replace

import pytest

from messaging.envelope import replay_source
from tests.integration.workers.events import deliver, said

COPY = "webhook"
FIRST, SECOND = replay_source("1f"), replay_source("2e")
BATCHES = [
    ([[FIRST], [COPY]], 1),
    ([[FIRST], [FIRST]], 1),
    ([[FIRST, FIRST]], 1),
    ([[FIRST], [SECOND]], 2),
    ([[FIRST, COPY]], 1),
    ([[COPY, FIRST]], 1),
    ([[COPY], [FIRST], [COPY]], 2),
    ([[COPY], [FIRST, FIRST], [FIRST]], 2),
    ([[COPY], [FIRST, SECOND]], 3),
]


@pytest.mark.parametrize(("batches", "effects"), BATCHES, ids=str)
def test_each_replay_takes_effect_once_and_records_the_events_own_key_first(intake, query, batches, effects):
    for sources in batches:
        deliveries = [deliver(said("hello")) for _ in sources]
        intake(
            *[
                replace(delivery, envelope=replace(delivery.envelope, source=source))
                for delivery, source in zip(deliveries, sources, strict=True)
            ]
        )

    assert query("SELECT count(*) FROM conversation_messages") == [(effects,)]
    assert query("SELECT count(*) FROM processed_events WHERE outcome = 'processed'") == [(effects,)]
    own = "SELECT outcome FROM processed_events WHERE idempotency_key NOT LIKE '%again%'"
    assert query(own) == [("processed",)]
    assert query("SELECT count(*) FROM event_conflicts") == [(0,)]
