"""An event too large for the broker is written to a file before its segment is deleted."""

import json

import pytest

from messaging.envelope import WEBHOOK, encode_properties
from tests.fakes.link import FakeLink
from webhook_api.journal import Entry, Segment, encode_header
from webhook_api.relay.oversized import Oversized
from webhook_api.relay.republisher import Republisher

LIMIT = 10
PROPERTIES = encode_properties("message-1", 1_700_000_000_000_000, "request-1", WEBHOOK)
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


def test_the_files_of_an_oversized_event_contain_its_body_and_the_reason(tmp_path):
    oversized = Oversized(tmp_path / "oversized")

    assert oversized.keep(Entry(PROPERTIES, LARGE), LIMIT)
    assert oversized.keep(Entry(PROPERTIES, LARGE), LIMIT)

    (body,) = (tmp_path / "oversized").glob("*.body")
    assert body.read_bytes() == LARGE
    reason = json.loads(body.with_suffix(".json").read_text())
    assert (reason["body_bytes"], reason["max_message_size"]) == (len(LARGE), LIMIT)
    assert (reason["message_id"], reason["request_id"]) == ("message-1", "request-1")


def test_the_other_events_in_the_segment_of_an_oversized_event_are_published(tmp_path, loop, link, segment):
    republisher = Republisher(loop, link, Oversized(tmp_path / "oversized"), lambda: 0)
    republisher.extend([segment])
    _allow(loop, republisher)

    assert link.published == [SMALL, LAST]
    assert link.to_prove == [segment]
