"""What the operator's filter makes of events."""

from dataclasses import replace

import pytest

from messaging.errors import ConfigurationError
from workers.filters import checked
from workers.intake.guard import Guard
from workers.parsing import EVENT_TYPES, read_body
from workers.settings import read_intake_settings


@pytest.fixture
def event(notes):
    [event] = read_body(
        b'{"eventType":"openmessaging:conversation:new","conversationId":"c","timestamp":"2026-01-05T08:00:00Z",'
        b'"channel":{"type":"custom","externalId":"mine"}}',
        notes,
        EVENT_TYPES,
    )
    return event


def skips(guard, *events):
    return [each.skip for each in guard.marked(events)]


def test_what_the_filter_does_not_hold_of_is_marked(event):
    assert skips(Guard(checked("channel.externalId == 'mine'")), event) == [None]
    assert skips(Guard(checked("channel.externalId == 'yours'")), event, event) == ["filtered", "filtered"]


def test_without_a_filter_everything_passes(event):
    assert skips(Guard(None), event) == [None]


def test_another_reason_to_skip_stands(event):
    marked = replace(event, skip="other_medium")

    assert skips(Guard(checked("channel.externalId == 'yours'")), marked) == ["other_medium"]


def test_what_cannot_be_told_passes_and_is_counted(event):
    guard = Guard(checked("routing.status == 'CONTACT-QUEUED'"))

    assert skips(guard, event) == skips(guard, event) == [None]
    assert (guard.take_untold(), guard.take_untold()) == (2, 0)


def test_a_filter_that_names_no_field_refuses_the_start_by_the_variables_name(monkeypatch):
    monkeypatch.setenv("OM_AMQP_URL", "amqp://localhost")
    monkeypatch.setenv("OM_DATABASE_URL", "sqlite:////tmp/none")
    monkeypatch.setenv("OM_EVENT_FILTER", "chanel.type == 'custom'")

    with pytest.raises(ConfigurationError, match=r"OM_EVENT_FILTER: chanel .* channel\.type"):
        read_intake_settings()
