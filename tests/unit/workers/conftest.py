import json
from pathlib import Path

import pytest

from workers.parsing import EVENT_TYPES, DriftNotes, read_body

PAYLOADS = Path(__file__).parents[2] / "payloads"


@pytest.fixture
def notes():
    return DriftNotes()


@pytest.fixture
def payload():
    """Return a function that loads a payload by name, such as "guide/conversation-new", and changes it."""

    def load(name, **changes):
        return json.loads((PAYLOADS / f"{name}.json").read_text()) | changes

    return load


@pytest.fixture
def read_all(notes):
    """Return a function that parses a payload into its events."""

    def read(payload, event_types=EVENT_TYPES):
        return read_body(json.dumps(payload).encode(), notes, event_types)

    return read


@pytest.fixture
def read(read_all):
    """Return a function that parses a payload that has one event."""

    def read_one(payload):
        [event] = read_all(payload)
        return event

    return read_one
