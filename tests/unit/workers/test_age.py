"""An event of a webhook that is older than its record would be has no effect."""

import pytest

from messaging.envelope import INGEST, RECONCILE, REPLAY, WEBHOOK
from workers.intake.dispatch import TOO_OLD, find_age_reason
from workers.parsing import Arrival, Event

DAY = 86_400_000_000
NOW = 2_000 * DAY
RETENTION = 30 * DAY


@pytest.mark.parametrize(
    ("occurred", "received", "now", "reason"),
    [
        (NOW - RETENTION, NOW, NOW, None),
        (NOW - RETENTION - 1, NOW, NOW, TOO_OLD),
        (0, NOW, NOW, TOO_OLD),
        (NOW, NOW, NOW, None),
        (NOW + DAY, NOW, NOW, None),
        # It waited in the queue or in a journal.
        (NOW - RETENTION - DAY, NOW - RETENTION, NOW, None),
        # One host's clock alone is wrong.
        (NOW, NOW + 2 * RETENTION, NOW, None),
        (NOW, NOW, NOW + 2 * RETENTION, None),
        # Another publisher gives no time of arrival.
        (NOW - 2 * RETENTION, 0, NOW, None),
    ],
)
def test_an_event_is_too_old_only_if_both_clocks_show_it(occurred, received, now, reason):
    assert find_age_reason(arrived(occurred, received), RETENTION, now) == reason


@pytest.mark.parametrize(
    ("source", "retention", "reason"),
    [
        (WEBHOOK, RETENTION, TOO_OLD),
        (REPLAY, RETENTION, None),
        (RECONCILE, RETENTION, None),
        (INGEST, RETENTION, None),
        (WEBHOOK, None, None),
    ],
)
def test_only_a_webhook_s_event_can_be_too_old(source, retention, reason):
    assert find_age_reason(arrived(0, NOW, source), retention, NOW) == reason


def arrived(occurred, received, source=WEBHOOK):
    event = Event("type", "conversation", occurred, "key", "guide")
    return Arrival(event, "message", received, source, "digest", None, b"{}")
