"""The backlog is published fast while there are no requests, and slowly beside them."""

from types import SimpleNamespace

import pytest

from tests.fakes.link import FakeLink
from webhook_api.journal import Segment
from webhook_api.journal.segments import encode_header
from webhook_api.relay.republisher import IDLE_SLICE_EVENTS, MAX_AHEAD_EVENTS, Republisher, slice_events


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [(0, IDLE_SLICE_EVENTS), (1, 90), (5, 50), (8, 20), (9, 18), (20, 40), (100, 200), (1_000_000, 200)],
)
def test_a_slice_depends_on_the_events_accepted_since_the_last_slice(accepted, expected):
    assert slice_events(accepted) == expected


def test_the_number_of_events_ahead_of_a_probe_is_limited(tmp_path):
    path = tmp_path / "00000001.segment"
    path.write_bytes((encode_header(b"p", b"body") + b"pbody") * (2 * MAX_AHEAD_EVENTS))
    calls, link = [], FakeLink()
    loop = SimpleNamespace(time=lambda: 0.0, call_later=lambda _seconds, call: calls.append(call))
    republisher = Republisher(loop, link, oversized=None, accepted=lambda: 0)
    republisher.extend([Segment(path, size=path.stat().st_size)])
    republisher.allow(1_000_000)
    while calls:
        calls.pop()()
    assert len(link.published) == MAX_AHEAD_EVENTS
    republisher.allow(1_000_000)
    while calls:
        calls.pop()()
    assert len(link.published) == 2 * MAX_AHEAD_EVENTS
