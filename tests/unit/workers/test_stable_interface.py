"""An integrator's handler may import and read these names; removing one would break installed handlers."""

from dataclasses import fields
from inspect import signature

import pytest

from workers import handlers
from workers.parsing import Arrival, Event

HANDLERS = """
    ClaimedEvent Handler RejectedEventError RetryLaterError Skips
    conversation_message conversation_new conversation_updated receipt typing
"""
ATTRIBUTES = {
    handlers.ClaimedEvent: "event_id arrival position event",
    Arrival: "event message_id received_at_us source body_sha256 request_id body generation",
    Event: """
        event_type conversation_id occurred_at_us idempotency_key dialect sequence platform_message_id
        social_channel sender text content routing_status routing_queue receipt_status receipt_reasons
        is_final_receipt skip payload
        """,
}
ERRORS = {
    handlers.RejectedEventError: ("code", "reason"),
    handlers.RetryLaterError: ("reason", "delay"),
}


def test_the_public_module_keeps_its_names():
    assert set(handlers.__all__) == set(HANDLERS.split())
    assert all(hasattr(handlers, name) for name in handlers.__all__)


@pytest.mark.parametrize("kind", ATTRIBUTES, ids=lambda kind: kind.__name__)
def test_an_event_keeps_its_attributes(kind):
    properties = {name for name, value in vars(kind).items() if isinstance(value, property)}
    assert {field.name for field in fields(kind)} | properties == set(ATTRIBUTES[kind].split())


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_an_error_keeps_its_arguments(kind):
    assert tuple(signature(kind).parameters) == ERRORS[kind]
