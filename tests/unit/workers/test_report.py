"""At debug level, each event's outcome is logged on one line."""

from types import SimpleNamespace

from structlog.testing import capture_logs

from workers.intake.dispatch import Dispatched
from workers.intake.outcome import log_events
from workers.parsing import ClaimedEvent


def arrival(message_id):
    event = SimpleNamespace(event_type="openmessaging:conversation:message", conversation_id="c")
    return SimpleNamespace(event=event, message_id=message_id, request_id="r")


def test_each_event_is_logged_as_processed_skipped_or_known():
    new, skipped, known = (arrival(name) for name in ("new", "skipped", "known"))
    dispatched = Dispatched([ClaimedEvent(1, new), ClaimedEvent(2, skipped)], {2: "typing"}, conflicts=0)
    with capture_logs() as entries:
        log_events([new, skipped, known], dispatched)
    told = [(entry["message_id"], entry["outcome"], entry["reason"]) for entry in entries]
    assert told == [("new", "processed", None), ("skipped", "skipped", "typing"), ("known", "known", None)]
