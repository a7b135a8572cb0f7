"""The event filters of the guide's webhooks."""

import pytest

from simulator.platform.chats import is_subscribed

NEW = {"eventType": "openmessaging:conversation:new", "channel": {"type": "custom", "externalId": "a"}}


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ([], False),
        ([(NEW["eventType"], "")], True),
        ([(NEW["eventType"], "channel.externalId == 'a'")], True),
        ([(NEW["eventType"], "channel.externalId == 'b'")], False),
        ([(NEW["eventType"], "channel.externalId == 'b'"), (NEW["eventType"], "true")], True),
        ([("openmessaging:conversation:message", "")], False),
        ([(NEW["eventType"], "routing.status == 'CONTACT-ROUTED'")], False),
        ([(NEW["eventType"], "is no expression")], False),
    ],
)
def test_an_event_is_posted_if_a_filter_of_its_type_matches(filters, expected):
    webhook = {"eventFilters": [{"eventType": event_type, "filter": text} for event_type, text in filters]}
    assert is_subscribed(webhook, NEW) is expected
