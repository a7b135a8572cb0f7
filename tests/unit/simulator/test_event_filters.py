"""Which webhooks of the guide's an event is posted to."""

import pytest

from simulator.platform.talks import wants

NEW = {"eventType": "openmessaging:conversation:new", "channel": {"type": "custom", "externalId": "a"}}


@pytest.mark.parametrize(
    ("filters", "is_wanted"),
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
def test_an_event_is_posted_where_a_filter_of_its_type_holds(filters, is_wanted):
    webhook = {"eventFilters": [{"eventType": each, "filter": text} for each, text in filters]}
    assert wants(webhook, NEW) is is_wanted
