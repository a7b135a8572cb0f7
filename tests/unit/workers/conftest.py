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
    """Load a payload by its name, such as "guide/conversation-new", with some members replaced."""

    def load(name, **changes):
        return json.loads((PAYLOADS / f"{name}.json").read_text()) | changes

    return load


@pytest.fixture
def read_all(notes):
    """Parse a payload into its events."""

    def read(payload, event_types=EVENT_TYPES):
        return read_body(json.dumps(payload).encode(), notes, event_types)

    return read


@pytest.fixture
def read(read_all):
    """Parse a payload that holds one event."""

    def read_one(payload):
        [event] = read_all(payload)
        return event

    return read_one
