"""The backlog is republished fast between requests; an event too large for the broker is saved as a file."""

import os
from types import SimpleNamespace

import pytest

from messaging.envelope import WEBHOOK, encode_properties
from tests.fakes.link import FakeLink
from webhook_api.journal import Segment, encode_header
from webhook_api.relay.oversized import DAY_SECONDS, Oversized, delete_expired
from webhook_api.relay.republisher import IDLE_SLICE_EVENTS, MAX_AHEAD_EVENTS, Republisher, slice_events

LIMIT = 10
PROPERTIES = encode_properties("message-1", 1_700_000_000_000_000, "request-1", WEBHOOK)
NOW = 1_800_000_000.0
SMALL, LARGE, LAST = b"small", b"x" * (LIMIT + 1), b"last"


def _segment(directory, bodies):
    path = directory / "1.segment"
    path.write_bytes(b"".join(encode_header(PROPERTIES, body) + PROPERTIES + body for body in bodies))
    return Segment(path, size=path.stat().st_size)


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [(0, IDLE_SLICE_EVENTS), (1, 90), (5, 50), (8, 20), (9, 18), (20, 40), (100, 200), (1_000_000, 200)],
)
def test_a_slice_depends_on_the_events_accepted_since_the_last_slice(accepted, expected):
    assert slice_events(accepted) == expected


def test_the_number_of_events_ahead_of_a_probe_is_limited(tmp_path):
    calls, link = [], FakeLink()
    loop = SimpleNamespace(time=lambda: 0.0, call_later=lambda _seconds, call: calls.append(call))
    republisher = Republisher(loop, link, oversized=None, accepted=lambda: 0)
    republisher.extend([_segment(tmp_path, [b"body"] * (2 * MAX_AHEAD_EVENTS))])
    for number in (1, 2):
        republisher.allow(1_000_000)
        while calls:
            calls.pop()()
        assert len(link.published) == number * MAX_AHEAD_EVENTS


@pytest.mark.parametrize(
    ("is_interrupted", "published"), [(False, [SMALL, LAST]), (True, [SMALL, SMALL, LAST])]
)
def test_a_segment_waits_until_its_large_event_is_saved(tmp_path, loop, is_interrupted, published):
    segment, link = _segment(tmp_path, [SMALL, LARGE, LAST]), FakeLink(size_limit=LIMIT)
    directory = tmp_path / "oversized"
    directory.write_text("in the way")
    republisher = Republisher(loop, link, Oversized(directory), lambda: 0)

    def republish():
        republisher.allow(100)
        loop.call_later(0.1, loop.stop)
        loop.run_forever()

    republisher.extend([segment])
    for _ in range(2):
        republish()
    assert (link.published, link.to_prove) == ([SMALL], [])
    directory.unlink()
    if is_interrupted:
        republisher.restore([])
    republish()
    assert link.published == published
    assert link.to_prove == [segment]


@pytest.mark.parametrize("directory", ["oversized", "damaged"])
def test_a_saved_file_is_deleted_after_its_retention(tmp_path, directory):
    (tmp_path / directory).mkdir()
    for name, age_days in (("old", 7.1), ("young", 6.9)):
        path = tmp_path / directory / name
        path.write_bytes(b"body")
        os.utime(path, (NOW, NOW - age_days * DAY_SECONDS))
    delete_expired(tmp_path, 7, NOW)
    assert [path.name for path in (tmp_path / directory).iterdir()] == ["young"]
