"""The backlog is republished quickly between requests; events too large for the broker become files."""

import json
import os
from types import SimpleNamespace

import pytest

from tests.fakes.link import FakeLink
from tests.unit.webhook_api.journals import PROPERTIES
from webhook_api.journal import Segment, encode_header
from webhook_api.journal.segments import RETRY_SECONDS, Entry
from webhook_api.relay.oversized import DAY_SECONDS, Oversized, delete_expired
from webhook_api.relay.republisher import (
    IDLE_SLICE_EVENTS,
    MAX_AHEAD_EVENTS,
    MAX_SLICE_EVENTS,
    Republisher,
    slice_events,
)

LIMIT = 10
NOW = 1_800_000_000.0
SMALL, LARGE, LAST = b"small", b"x" * (LIMIT + 1), b"last"


def _segment(directory, bodies, number=1):
    path = directory / f"{number}.segment"
    path.write_bytes(b"".join(encode_header(PROPERTIES, body) + PROPERTIES + body for body in bodies))
    return Segment(path, size=path.stat().st_size)


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [(0, IDLE_SLICE_EVENTS), (1, 90), (5, 50), (8, 20), (9, 18), (20, 40), (100, 200), (1_000_000, 200)],
)
def test_the_size_of_a_slice_depends_on_the_events_accepted_since_the_last_slice(accepted, expected):
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


class Stand:
    """A republisher whose disk cannot save large events until `repair` is called."""

    def __init__(self, loop, directory):
        self.loop, self._now, self.directory = loop, loop.time(), directory
        directory.write_text("in the way")
        self.link = FakeLink(size_limit=LIMIT)
        clock = SimpleNamespace(time=lambda: self._now, call_later=loop.call_later)
        self.republisher = Republisher(clock, self.link, Oversized(directory), lambda: 0)

    def republish(self, events=MAX_AHEAD_EVENTS):
        self.republisher.allow(events)
        self.loop.call_later(0.1, self.loop.stop)
        self.loop.run_forever()
        self._now += RETRY_SECONDS

    def repair(self):
        self.directory.unlink()


@pytest.fixture
def stand(loop, tmp_path):
    return Stand(loop, tmp_path / "oversized")


def test_a_large_event_that_cannot_be_saved_delays_only_the_proof_of_its_segment(tmp_path, stand):
    others = [b"other"] * MAX_SLICE_EVENTS
    segments = [_segment(tmp_path, [SMALL, LARGE, *others]), _segment(tmp_path, [LAST], number=2)]
    stand.republisher.extend(segments)
    stand.republish()
    assert stand.link.published == [SMALL, *others, LAST]
    assert stand.link.to_prove == [segments[1]]
    assert stand.republisher.backlog.segments == (segments[0],)
    stand.repair()
    stand.republish()
    assert stand.link.to_prove == [segments[1], segments[0]]
    assert [path.read_bytes() for path in stand.directory.glob("*.body")] == [LARGE]


def test_the_copies_of_events_beside_large_events_that_cannot_be_saved_are_few(tmp_path, stand):
    size = MAX_SLICE_EVENTS
    segments = [_segment(tmp_path, [*[SMALL] * size, LARGE], number) for number in range(3)]
    stand.republisher.extend(segments)
    for published in (3, 4, 5):
        stand.republish()
        assert len(stand.link.published) == published * size
    stand.republisher.restore([])
    stand.republish()
    assert len(stand.link.published) == 8 * size
    stand.repair()
    stand.republish()
    assert len(stand.link.to_prove) == len(segments)


@pytest.mark.parametrize("events", [1, MAX_AHEAD_EVENTS])
def test_a_segment_is_not_proven_if_publishing_one_of_its_events_raises_an_error(tmp_path, stand, events):
    segment = _segment(tmp_path, [SMALL, LAST])
    stand.link.publish, publish = None, stand.link.publish
    stand.loop.set_exception_handler(lambda *_: None)
    stand.republisher.extend([segment])
    stand.republish(events)
    stand.link.publish = publish
    stand.republish()
    stand.republish()
    assert stand.link.to_prove == [segment]
    assert stand.link.published[-2:] == [SMALL, LAST]


def test_the_files_of_an_oversized_event_contain_its_body_and_the_reason(tmp_path):
    oversized = Oversized(tmp_path / "oversized")
    for _ in range(2):
        assert oversized.keep(Entry(PROPERTIES, LARGE), LIMIT)
    (body,) = (tmp_path / "oversized").glob("*.body")
    assert body.read_bytes() == LARGE
    reason = json.loads(body.with_suffix(".json").read_text())
    assert (reason["body_bytes"], reason["max_message_size"]) == (len(LARGE), LIMIT)
    assert (reason["message_id"], reason["request_id"]) == ("message-1", "request-1")


@pytest.mark.parametrize("directory", ["oversized", "damaged"])
def test_a_saved_file_is_deleted_after_its_retention_time(tmp_path, directory):
    (tmp_path / directory).mkdir()
    for name, age_days in (("old", 7.1), ("young", 6.9)):
        path = tmp_path / directory / name
        path.write_bytes(b"body")
        os.utime(path, (NOW, NOW - age_days * DAY_SECONDS))
    delete_expired(tmp_path, 7, NOW)
    assert [path.name for path in (tmp_path / directory).iterdir()] == ["young"]
