"""An event too large for the broker is written to a file before its segment is deleted."""

import json
import os

import pytest

from messaging.envelope import WEBHOOK, encode_properties
from tests.fakes.link import FakeLink
from webhook_api.journal import Entry, Segment, encode_header
from webhook_api.relay.oversized import DAY_SECONDS, Oversized, delete_expired
from webhook_api.relay.republisher import Republisher

LIMIT = 10
PROPERTIES = encode_properties("message-1", 1_700_000_000_000_000, "request-1", WEBHOOK)
NOW = 1_800_000_000.0
SMALL, LARGE, LAST = b"small", b"x" * (LIMIT + 1), b"last"


@pytest.fixture
def link():
    return FakeLink(size_limit=LIMIT)


@pytest.fixture
def segment(tmp_path):
    path = tmp_path / "1.segment"
    path.write_bytes(
        b"".join(encode_header(PROPERTIES, body) + PROPERTIES + body for body in (SMALL, LARGE, LAST))
    )
    return Segment(path, size=path.stat().st_size)


def _allow(loop, republisher):
    """Let the republisher work for a moment."""
    republisher.allow(100)
    loop.call_later(0.1, loop.stop)
    loop.run_forever()


def test_the_file_has_the_body_and_the_reason(tmp_path):
    oversized = Oversized(tmp_path / "oversized")

    assert oversized.keep(Entry(PROPERTIES, LARGE), LIMIT)
    assert oversized.keep(Entry(PROPERTIES, LARGE), LIMIT)

    (body,) = (tmp_path / "oversized").glob("*.body")
    assert body.read_bytes() == LARGE
    reason = json.loads(body.with_suffix(".json").read_text())
    assert (reason["body_bytes"], reason["max_message_size"]) == (len(LARGE), LIMIT)
    assert (reason["message_id"], reason["request_id"]) == ("message-1", "request-1")


def test_the_other_events_of_the_segment_are_published(tmp_path, loop, link, segment):
    republisher = Republisher(loop, link, Oversized(tmp_path / "oversized"), lambda: 0)
    republisher.extend([segment])
    _allow(loop, republisher)

    assert link.published == [SMALL, LAST]
    assert link.to_prove == [segment]


def test_the_event_and_later_ones_wait_while_the_file_cannot_be_written(tmp_path, loop, link, segment):
    directory = tmp_path / "oversized"
    directory.write_text("in the way")
    republisher = Republisher(loop, link, Oversized(directory), lambda: 0)
    republisher.extend([segment])
    for _ in range(2):
        _allow(loop, republisher)
    assert (link.published, link.to_prove) == ([SMALL], [])

    directory.unlink()
    _allow(loop, republisher)

    assert link.published == [SMALL, LAST]
    assert link.to_prove == [segment]


def test_an_interruption_starts_over_with_the_whole_segment(tmp_path, loop, link, segment):
    directory = tmp_path / "oversized"
    directory.write_text("in the way")
    republisher = Republisher(loop, link, Oversized(directory), lambda: 0)
    republisher.extend([segment])
    _allow(loop, republisher)

    directory.unlink()
    republisher.restore([])
    _allow(loop, republisher)

    assert link.published == [SMALL, SMALL, LAST]
    assert link.to_prove == [segment]


@pytest.mark.parametrize("directory", ["oversized", "damaged"])
def test_a_file_is_deleted_after_its_retention_period(tmp_path, directory):
    (tmp_path / directory).mkdir()
    for name, age_days in (("old", 7.1), ("young", 6.9)):
        path = tmp_path / directory / name
        path.write_bytes(b"body")
        os.utime(path, (NOW, NOW - age_days * DAY_SECONDS))

    delete_expired(tmp_path, 7, NOW)

    assert [path.name for path in (tmp_path / directory).iterdir()] == ["young"]
