"""A webhook's event that is older than the retention time has no effect."""

import pytest

from messaging.envelope import INGEST, RECONCILE, REPLAY, WEBHOOK
from workers.intake.dispatch import TOO_OLD, find_age_reason
from workers.parsing import Arrival, Event

DAY = 86_400_000_000
NOW = 2_000 * DAY
RETENTION = 30 * DAY


@pytest.mark.parametrize(
    ("occurred", "received", "now", "source", "reason"),
    [
        (NOW - RETENTION, NOW, NOW, WEBHOOK, None),
        (NOW - RETENTION - 1, NOW, NOW, WEBHOOK, TOO_OLD),
        (0, NOW, NOW, WEBHOOK, TOO_OLD),
        (NOW, NOW, NOW, WEBHOOK, None),
        (NOW + DAY, NOW, NOW, WEBHOOK, None),
        # The event waited in the queue or in a journal.
        (NOW - RETENTION - DAY, NOW - RETENTION, NOW, WEBHOOK, None),
        # Only one host's clock is wrong.
        (NOW, NOW + 2 * RETENTION, NOW, WEBHOOK, None),
        (NOW, NOW, NOW + 2 * RETENTION, WEBHOOK, None),
        # An event from another publisher has no arrival time.
        (NOW - 2 * RETENTION, 0, NOW, WEBHOOK, None),
        *[(0, NOW, NOW, source, None) for source in (REPLAY, RECONCILE, INGEST)],
    ],
)
def test_only_a_webhooks_event_that_is_too_old_by_both_clocks_has_no_effect(  # table
    occurred, received, now, source, reason
):
    event = Event("type", "conversation", occurred, "key", "guide")
    arrival = Arrival(event, "message", received, source, "digest", None, b"{}")
    assert find_age_reason(arrival, RETENTION, now) == reason
    assert find_age_reason(arrival, None, now) is None
