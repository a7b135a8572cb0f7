"""The simulated platform applies the event filters of a webhook."""

import pytest

from simulator.platform.chats import is_subscribed

NEW = {"eventType": "openmessaging:conversation:new", "channel": {"type": "custom", "externalId": "a"}}


@pytest.mark.parametrize(
    ("kind", "filters", "expected"),
    [
        ("new", [], False),
        ("new", [""], True),
        ("new", ["channel.externalId == 'a'"], True),
        ("new", ["channel.externalId == 'b'", "true"], True),
        ("new", ["channel.externalId == 'b'", "routing.status == 'x'", "is no expression"], False),
        ("message", [""], False),
    ],
)
def test_an_event_is_posted_if_a_filter_of_its_type_matches(kind, filters, expected):
    event_type = f"openmessaging:conversation:{kind}"
    webhook = {"eventFilters": [{"eventType": event_type, "filter": text} for text in filters]}
    assert is_subscribed(webhook, NEW) is expected
