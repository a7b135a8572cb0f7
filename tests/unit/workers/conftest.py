import json
from pathlib import Path

import pytest

from workers.parsing.drift import DriftNotes

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
