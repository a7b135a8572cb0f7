"""However many events cannot be processed, the good ones among them are."""

import pytest

from messaging import topology
from tests.integration.workers.consuming import depth
from tests.integration.workers.events import event, said
from tests.integration.workers.intake.patience import wait_until

FLOOD = 600
UNKNOWN = event("merged")
BAD = {
    "of an unknown type": UNKNOWN,
    "without a timestamp": {"eventType": UNKNOWN["eventType"], "conversationId": "c-1"},
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_good_events_in_and_behind_a_flood_of_bad_ones_are_processed(start, publish, count, channel, bad):
    start(OM_BATCH_EVENTS="50")
    publish(*[bad] * FLOOD)
    publish(*[bad if number % 20 else said("good", after_ms=number) for number in range(FLOOD)])

    wait_until(lambda: count() == FLOOD // 20)
    wait_until(lambda: depth(channel, topology.DEAD_LETTERS) == 2 * FLOOD - FLOOD // 20)
