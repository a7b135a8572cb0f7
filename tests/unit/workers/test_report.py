"""What became of each event stands in one line, where debug asks for it."""

from types import SimpleNamespace

import pytest
import structlog
from structlog.testing import LogCapture

from workers.intake.dispatch import Dispatched
from workers.intake.outcome import log_events
from workers.parsing import ClaimedEvent


@pytest.fixture
def lines_at():
    """Return what collects the lines of a level."""
    before = structlog.get_config()
    capture = LogCapture()

    def configure(level):
        structlog.configure(processors=[capture], wrapper_class=structlog.make_filtering_bound_logger(level))
        return capture.entries

    yield configure
    structlog.configure(**before)


def arrival(message_id):
    event = SimpleNamespace(event_type="openmessaging:conversation:message", conversation_id="c")
    return SimpleNamespace(event=event, message_id=message_id, request_id="r")


def test_each_event_is_told_as_processed_skipped_or_known(lines_at):
    entries = lines_at("debug")
    new, skipped, known = (arrival(name) for name in ("new", "skipped", "known"))
    dispatched = Dispatched([ClaimedEvent(1, new), ClaimedEvent(2, skipped)], {2: "typing"}, conflicts=0)
    log_events([new, skipped, known], dispatched)
    told = [(entry["message_id"], entry["outcome"], entry["reason"]) for entry in entries]
    assert told == [("new", "processed", None), ("skipped", "skipped", "typing"), ("known", "known", None)]
